# Headers, the CMake package, pkg-config files, the tools (by tools/) and a word of documentation. Nothing but the
# tools depends on the machine, so packages go to share.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/oplog)
set(pkgconfig_dir ${CMAKE_INSTALL_DATADIR}/pkgconfig)

install(DIRECTORY include/oplog DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.hpp")
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT tools)
install(FILES README.md README.zh-CN.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT tools OPTIONAL)

# Two exports, so that who wants oplog::core needs none of the packages behind oplog::oplog.
install(TARGETS oplog_core EXPORT oplog-core)
install(TARGETS oplog_oplog EXPORT oplog-oplog)
install(EXPORT oplog-core NAMESPACE oplog:: FILE oplog-core.cmake DESTINATION ${package_dir})
install(EXPORT oplog-oplog NAMESPACE oplog:: FILE oplog-oplog.cmake DESTINATION ${package_dir})
configure_package_config_file(cmake/oplog-config.cmake.in oplog-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(oplog-config-version.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES cmake/dependencies.cmake ${PROJECT_BINARY_DIR}/oplog-config.cmake ${PROJECT_BINARY_DIR}/oplog-config-version.cmake
  DESTINATION ${package_dir})

# Relative to the file, so that the prefix may still change at `cmake --install --prefix`.
file(RELATIVE_PATH include_from_pkgconfig
  ${CMAKE_INSTALL_PREFIX}/${pkgconfig_dir} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
set(bson_module libbson-1.0)
set(bson_static_module libbson-static-1.0) # which has a name of its own
if(bson_FOUND)
  set(bson_module bson2)
  set(bson_static_module bson2-static)
endif()
foreach(module IN ITEMS oplog oplog-core oplog-static)
  configure_file(cmake/${module}.pc.in ${module}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${module}.pc DESTINATION ${pkgconfig_dir})
endforeach()
