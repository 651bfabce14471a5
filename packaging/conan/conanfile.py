"""A recipe of this source tree for Conan 2: conan create packaging/conan"""

import pathlib

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMakeDeps, cmake_layout
from conan.tools.files import copy

SOURCE = pathlib.Path(__file__).parent.parent.parent


class OplogConan(ConanFile):
    name = "oplog"
    version = "0.1.0"
    license = "Apache-2.0"
    description = "Header-only C++20 templates that read and write MongoDB oplog streams"
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    requires = "mongo-c-driver/1.28.0", "zlib/[>=1.2 <2]", "zstd/[>=1.5 <2]"

    def export_sources(self):
        for pattern in ("CMakeLists.txt", "LICENSE", "README.md", "cmake/*", "include/*"):
            copy(self, pattern, SOURCE, self.export_sources_folder)

    def layout(self):
        cmake_layout(self)

    def validate(self):
        check_min_cppstd(self, 20)

    def generate(self):
        CMakeDeps(self).generate()

    def package(self):
        copy(self, "LICENSE", self.source_folder, f"{self.package_folder}/licenses")
        copy(self, "*.hpp", f"{self.source_folder}/include", f"{self.package_folder}/include")

    def package_id(self):
        self.info.clear()

    def package_info(self):
        self.cpp_info.bindirs = self.cpp_info.libdirs = []
        core = self.cpp_info.components["core"]
        core.set_property("cmake_target_name", "oplog::core")
        core.system_libs = ["pthread"]
        full = self.cpp_info.components["oplog"]
        full.set_property("cmake_target_name", "oplog::oplog")
        full.requires = ["core", "mongo-c-driver::bson", "zlib::zlib", "zstd::zstd"]
