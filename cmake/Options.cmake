# Compiler options that hold for every target of ours: warnings as errors, sanitizers by preset.

set(FORKPLANE_SANITIZE "" CACHE STRING "address;undefined or thread; empty for none")

add_library(forkplane_options INTERFACE)
target_compile_options(forkplane_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wswitch-enum
  # Not for a release: the optimizer's own warnings differ from compiler to compiler, and must not keep a user from building.
  $<$<NOT:$<CONFIG:RelWithDebInfo>>:-Werror>)
target_include_directories(forkplane_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(forkplane_options INTERFACE FORKPLANE_VERSION="${PROJECT_VERSION}")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # In a unity build another file includes ours, so that what is nobody else's seems to be in a header.
  if(CMAKE_UNITY_BUILD)
    target_compile_options(forkplane_options INTERFACE -Wno-subobject-linkage)
  endif()
  # g++ 12 sees overflows and foreign frees in the standard library that are not there once it inlines at -O2
  # (the former: gcc.gnu.org/PR105329, PR105651).
  target_compile_options(forkplane_options INTERFACE $<$<CONFIG:RelWithDebInfo>:-Wno-restrict
    -Wno-stringop-overflow -Wno-stringop-overread -Wno-array-bounds -Wno-maybe-uninitialized -Wno-free-nonheap-object>)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(forkplane_options INTERFACE -Wthread-safety)
endif()

if(FORKPLANE_SANITIZE)
  list(JOIN FORKPLANE_SANITIZE "," sanitizers)
  # Everything, also what only tests link, must be built with the same sanitizer.
  add_compile_options(-fsanitize=${sanitizers} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${sanitizers})
  if("address" IN_LIST FORKPLANE_SANITIZE)
    add_compile_options(-fno-sanitize-recover=all)
  endif()
  if("thread" IN_LIST FORKPLANE_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # The same false alarms, without much inlining (concatenated strings in guest_image.cc).
    target_compile_options(forkplane_options INTERFACE
      -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread -Wno-array-bounds)
  endif()
endif()
