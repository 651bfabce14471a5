# The two targets: oplog::core needs the standard library alone, oplog::oplog all of the packages.
include(GNUInstallDirs)
find_package(Threads REQUIRED)

add_library(oplog_core INTERFACE)
add_library(oplog::core ALIAS oplog_core)
set_target_properties(oplog_core PROPERTIES EXPORT_NAME core)
target_compile_features(oplog_core INTERFACE cxx_std_20)
target_include_directories(oplog_core INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(oplog_core INTERFACE Threads::Threads)

include(${CMAKE_CURRENT_LIST_DIR}/dependencies.cmake)
if(NOT oplog_missing)
  add_library(oplog_oplog INTERFACE)
  add_library(oplog::oplog ALIAS oplog_oplog)
  set_target_properties(oplog_oplog PROPERTIES EXPORT_NAME oplog)
  target_link_libraries(oplog_oplog INTERFACE oplog_core ZLIB::ZLIB PkgConfig::OPLOG_ZSTD oplog::bson)
else()
  list(JOIN oplog_missing ", " missing)
  if(OPLOG_BUILD_TOOLS OR OPLOG_BUILD_TESTS OR OPLOG_INSTALL)
    message(FATAL_ERROR "Not found: ${missing}")
  endif()
  message(STATUS "oplog: there is oplog::core only; oplog::oplog needs what was not found: ${missing}")
endif()

# How this project compiles its own code; users choose for themselves.
add_library(oplog_warnings INTERFACE)
target_compile_options(oplog_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
  # gcc 12 is often wrong about std::optional and std::string.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized -Wno-restrict>
  # What libstdc++ itself calls and a newer clang deprecates is not ours to mend.
  $<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-declarations>
  $<$<BOOL:${OPLOG_WERROR}>:-Werror>)
if(OPLOG_SANITIZE)
  target_compile_options(oplog_warnings INTERFACE -fsanitize=${OPLOG_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  # To see whether an object is one, clang's sanitizer opens a pipe, which fails where as many files are open as may be.
  target_compile_options(oplog_warnings INTERFACE $<$<CXX_COMPILER_ID:Clang>:-fno-sanitize=vptr>)
  target_link_options(oplog_warnings INTERFACE -fsanitize=${OPLOG_SANITIZE})
endif()
if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_CXX_EXTENSIONS OFF)
endif()
