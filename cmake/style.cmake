# Targets `format` and `tidy`, where clang's tools are.
file(GLOB_RECURSE own_sources CONFIGURE_DEPENDS
  include/*.hpp tools/*.hpp tools/*.cpp tests/*.hpp tests/*.cpp fuzz/*.hpp fuzz/*.cpp bench/*.hpp bench/*.cpp)
find_program(CLANG_FORMAT clang-format)
if(CLANG_FORMAT)
  add_custom_target(format COMMAND ${CLANG_FORMAT} -i ${own_sources} VERBATIM)
endif()
find_program(RUN_CLANG_TIDY run-clang-tidy)
if(RUN_CLANG_TIDY AND CMAKE_EXPORT_COMPILE_COMMANDS)
  add_custom_target(tidy COMMAND ${RUN_CLANG_TIDY} -quiet -p ${PROJECT_BINARY_DIR} "^${PROJECT_SOURCE_DIR}/(tools|fuzz|bench|tests)/" VERBATIM)
endif()
