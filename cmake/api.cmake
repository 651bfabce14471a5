# Target `api`, where doxygen is: the site of the library's headers, in api/ of the build. A warning is an error.
find_program(DOXYGEN doxygen)
if(DOXYGEN)
  add_custom_target(api
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${PROJECT_BINARY_DIR}/api
    COMMAND ${CMAKE_COMMAND} -E env OPLOG_VERSION=${PROJECT_VERSION} OPLOG_API=${PROJECT_BINARY_DIR}/api ${DOXYGEN} docs/Doxyfile
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} VERBATIM)
endif()
