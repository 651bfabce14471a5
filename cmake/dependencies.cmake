# What oplog::oplog needs beyond the standard library, as the imported targets ZLIB::ZLIB, PkgConfig::OPLOG_ZSTD and
# oplog::bson. Used by this build and by the installed package; oplog_missing names what was not found.
set(oplog_missing)

find_package(ZLIB QUIET GLOBAL)
if(NOT TARGET ZLIB::ZLIB)
  list(APPEND oplog_missing zlib)
endif()

find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
  pkg_check_modules(OPLOG_ZSTD QUIET IMPORTED_TARGET GLOBAL libzstd)
endif()
if(NOT TARGET PkgConfig::OPLOG_ZSTD)
  list(APPEND oplog_missing "libzstd (by pkg-config)")
endif()

# libbson 2 calls its package and its targets otherwise than libbson 1.
if(NOT TARGET oplog::bson)
  find_package(bson 2 QUIET GLOBAL)
  if(NOT bson_FOUND)
    find_package(bson-1.0 QUIET GLOBAL)
  endif()
  foreach(target IN ITEMS bson::shared bson::static mongo::bson_shared mongo::bson_static)
    if(TARGET ${target})
      add_library(oplog::bson INTERFACE IMPORTED GLOBAL)
      target_link_libraries(oplog::bson INTERFACE ${target})
      break()
    endif()
  endforeach()
endif()
if(NOT TARGET oplog::bson)
  list(APPEND oplog_missing "libbson 1 or 2")
endif()
