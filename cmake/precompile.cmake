# Headers that most files include, read by the compiler once for each kind of target instead of once for each file: a
# second of CPU time a file. Included last, when all targets are there. A target reuses only what was compiled with its
# own flags and definitions (-Winvalid-pch is an error); files with options of their own are compiled without.
option(TOOLWIRE_PRECOMPILE "Compile the headers that most files include once" ON)
if(NOT TOOLWIRE_PRECOMPILE)
  return()
endif()

set(STD_HEADERS
  <algorithm> <array> <atomic> <chrono> <condition_variable> <cstdint> <deque> <functional> <map> <memory> <mutex>
  <optional> <string> <string_view> <thread> <unordered_map> <utility> <vector>
  <absl/container/flat_hash_map.h> <absl/status/statusor.h> <absl/strings/str_cat.h>)
set(PROTO_HEADERS ${STD_HEADERS} <toolwire/v1/relay.pb.h>)
set(ASIO_HEADERS ${PROTO_HEADERS} <asio.hpp> <nlohmann/json.hpp>)
set(GRPC_HEADERS ${ASIO_HEADERS}
  <grpcpp/grpcpp.h> <toolwire/v1/admin.grpc.pb.h> <toolwire/v1/dispatch.grpc.pb.h>)

# `owner` compiles the headers; the others reuse them.
function(toolwire_precompile owner)
  cmake_parse_arguments(ARG "" "" "HEADERS;FOR" ${ARGN})
  target_precompile_headers(${owner} PRIVATE ${ARG_HEADERS})
  foreach(target ${ARG_FOR})
    target_precompile_headers(${target} REUSE_FROM ${owner})
  endforeach()
endfunction()

if(NOT CMAKE_UNITY_BUILD)  # Else the room is one file.
  toolwire_precompile(toolwire_base HEADERS ${STD_HEADERS})
endif()
toolwire_precompile(toolwire_wire HEADERS ${PROTO_HEADERS}
  FOR toolwire_store toolwire_audit toolwire_process toolwire_edge_core toolwire_control_core)
toolwire_precompile(toolwire_link HEADERS ${ASIO_HEADERS}
  FOR toolwire_registry toolwire_edge toolwire-edge toolwire_agent toolwire_cli)
toolwire_precompile(toolwire_grpc HEADERS ${GRPC_HEADERS} FOR toolwire_control toolwire-control toolwire)

if(TOOLWIRE_TESTS)
  find_package(GTest REQUIRED)
  # Nothing links it: it has the tests' headers alone.
  file(GENERATE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/test_headers.cc CONTENT "")
  add_library(toolwire_test_headers OBJECT ${CMAKE_CURRENT_BINARY_DIR}/test_headers.cc)
  target_link_libraries(toolwire_test_headers PRIVATE toolwire_wire GTest::gtest)
  get_property(tests GLOBAL PROPERTY TOOLWIRE_TESTS_WITHOUT_GRPC)
  toolwire_precompile(toolwire_test_headers HEADERS ${PROTO_HEADERS} <gtest/gtest.h> <nlohmann/json.hpp> FOR ${tests})
endif()
