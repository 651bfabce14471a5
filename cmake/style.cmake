# Targets `format` and `format_check` (they need clang-format 14), and `tidy`, where clang-tidy is.
add_custom_target(format COMMAND ${PROJECT_SOURCE_DIR}/tests/format.sh --fix VERBATIM)
add_custom_target(format_check COMMAND ${PROJECT_SOURCE_DIR}/tests/format.sh VERBATIM)
find_program(RUN_CLANG_TIDY run-clang-tidy)
if(RUN_CLANG_TIDY)
  # In a directory of its own, because it cannot read what another compiler made of a precompiled header.
  set(tidy ${PROJECT_BINARY_DIR}/tidy)
  add_custom_target(tidy
    COMMAND ${CMAKE_COMMAND} -S ${PROJECT_SOURCE_DIR} -B ${tidy} -DCMAKE_BUILD_TYPE=Debug -DCMAKE_EXPORT_COMPILE_COMMANDS=ON -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON
    COMMAND ${RUN_CLANG_TIDY} -quiet -p ${tidy} "^${PROJECT_SOURCE_DIR}/(tools|fuzz|bench|tests|examples)/" VERBATIM)
endif()
