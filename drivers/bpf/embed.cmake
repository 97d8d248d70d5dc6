# cmake -DINPUT=f -DOUTPUT=f.cc -P embed.cmake: a file's bytes as the array kIdentityObject.
file(READ ${INPUT} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "((0x..,){24})" "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "// Made by drivers/bpf/embed.cmake.
#include <cstddef>
namespace forkplane::bpf {
extern const unsigned char kIdentityObject[];
extern const std::size_t kIdentityObjectSize;
// libbpf reads ELF headers in place.
alignas(16) const unsigned char kIdentityObject[] = {
${bytes}
};
const std::size_t kIdentityObjectSize = sizeof kIdentityObject;
}
")
