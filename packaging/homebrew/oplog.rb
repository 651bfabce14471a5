# A formula for Homebrew on Linux. OPLOG_URL is the address of a source archive, OPLOG_SHA256 its checksum:
#   OPLOG_URL=... OPLOG_SHA256=... brew install --build-from-source packaging/homebrew/oplog.rb
class Oplog < Formula
  desc "Tools and templates for MongoDB oplogs"
  url ENV.fetch("OPLOG_URL")
  version "0.1.0"
  sha256 ENV.fetch("OPLOG_SHA256")
  license "Apache-2.0"

  depends_on "cmake" => :build
  depends_on "cxxopts" => :build
  depends_on "lowdown" => :build
  depends_on "ninja" => :build
  depends_on "pkgconf" => :build
  depends_on "fmt"
  depends_on :linux
  depends_on "mongo-c-driver"
  depends_on "openssl@3"
  depends_on "zlib"
  depends_on "zstd"

  def install
    system "cmake", "-S", ".", "-B", "build", "-G", "Ninja", "-DOPLOG_BUILD_TESTS=OFF", *std_cmake_args
    system "cmake", "--build", "build"
    system "cmake", "--install", "build"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/oplog-range --version")
    assert_equal "- - 0 0 -\n", pipe_output("#{bin}/oplog-range", "")
  end
end
