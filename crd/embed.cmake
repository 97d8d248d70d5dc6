# cmake -DOUT=f.cc -DFUNCTION=Name -DFILES=a;b -P embed.cmake
# Writes a source file whose function returns the files' names and bytes: the binary needs no files
# at run time, and the bytes are those a real cluster gets.
set(entries "")
foreach(file ${FILES})
  file(READ ${file} text)
  get_filename_component(name ${file} NAME)
  string(APPEND entries "      {\"${name}\", R\"EMBEDDED(${text})EMBEDDED\"},\n")
endforeach()
file(WRITE ${OUT} "// Made by crd/embed.cmake.
#include \"crd/embedded.h\"

namespace forkplane::crd {

std::vector<EmbeddedFile> ${FUNCTION}() {
  return {
${entries}  };
}

}  // namespace forkplane::crd
")
