# Targets `format` and `format_check` (they need clang-format 14), and `tidy`, where clang-tidy is.
add_custom_target(format COMMAND ${PROJECT_SOURCE_DIR}/tests/format.sh --fix VERBATIM)
add_custom_target(format_check COMMAND ${PROJECT_SOURCE_DIR}/tests/format.sh VERBATIM)
find_program(RUN_CLANG_TIDY run-clang-tidy)
if(RUN_CLANG_TIDY AND CMAKE_EXPORT_COMPILE_COMMANDS)
  add_custom_target(tidy COMMAND ${RUN_CLANG_TIDY} -quiet -p ${PROJECT_BINARY_DIR} "^${PROJECT_SOURCE_DIR}/(tools|fuzz|bench|tests)/" VERBATIM)
endif()
