# forkplane_room(NAME [SOURCES f...] [DEPS t...] [PRIVATE t...])
# One library per room of ARCHITECTURE.md. DEPS are rooms whose headers ours include; PRIVATE are libraries that no header
# of ours shows. A room without sources yet is an interface library, so that others can already name it.
#
# forkplane_test(NAME LABEL l SOURCES f... [DEPS t...])
# A GoogleTest binary whose cases ctest lists one by one under the label.

# Everything that must be generated before sources can be read (clang-tidy builds only this).
add_custom_target(forkplane_generated)

# forkplane_generates(ROOM f...): ROOM's generated sources, made before any other file of it and by forkplane_generated.
function(forkplane_generates room)
  add_custom_target(${room}_generated DEPENDS ${ARGN})
  add_dependencies(${room} ${room}_generated)
  add_dependencies(forkplane_generated ${room}_generated)
endfunction()
# The suites that also run under sanitizers.
add_custom_target(forkplane_fast_tests)

add_library(forkplane_pch OBJECT ${CMAKE_SOURCE_DIR}/cmake/pch.cc)
target_precompile_headers(forkplane_pch PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch.h)
target_link_libraries(forkplane_pch PRIVATE forkplane_options fmt::fmt Threads::Threads)

function(forkplane_target_setup target)
  target_link_libraries(${target} PRIVATE forkplane_options)
  target_precompile_headers(${target} REUSE_FROM forkplane_pch)
endfunction()

function(forkplane_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;DEPS;PRIVATE" ${ARGN})
  if(NOT ROOM_SOURCES)
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE ${ROOM_DEPS} fmt::fmt)
    return()
  endif()
  add_library(${name} STATIC ${ROOM_SOURCES})
  forkplane_target_setup(${name})
  target_link_libraries(${name} PUBLIC ${ROOM_DEPS} fmt::fmt Threads::Threads PRIVATE ${ROOM_PRIVATE})
endfunction()

function(forkplane_test name)
  cmake_parse_arguments(T "" "LABEL;TIMEOUT" "SOURCES;DEPS" ${ARGN})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  add_executable(${name} ${T_SOURCES})
  forkplane_target_setup(${name})
  target_link_libraries(${name} PRIVATE ${T_DEPS} GTest::gmock GTest::gtest_main)
  if(T_LABEL MATCHES "^(unit|plan|convergence)$")
    add_dependencies(forkplane_fast_tests ${name})
  endif()
  set(serial FALSE)
  if(T_LABEL MATCHES "^(qemu|crash|e2e|bench)$")
    set(serial TRUE)  # guests and rates want the machine to themselves
  endif()
  include(GoogleTest)
  # Without NO_PRETTY_VALUES a parameter is part of the name: bytes with addresses, other ones at each build.
  gtest_discover_tests(${name} NO_PRETTY_VALUES TEST_PREFIX ${name}: DISCOVERY_TIMEOUT 60 WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
    PROPERTIES LABELS ${T_LABEL} TIMEOUT ${T_TIMEOUT} RUN_SERIAL ${serial} SKIP_REGULAR_EXPRESSION "\\[  SKIPPED \\]")
endfunction()
