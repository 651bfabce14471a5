// SPDX-License-Identifier: Apache-2.0
#pragma once

#define OPENSSL_SUPPRESS_DEPRECATED // the functions that replace the deprecated ones allocate, and crash if they cannot
#include <oplog/bson/hex.hpp>

#include <openssl/sha.h>
#include <string>
#include <string_view>

namespace oplog::tools {

/// Computes the SHA-256 of bytes as they come.
class Sha256 {
  public:
    Sha256() { ::SHA256_Init(&context_); }
    void add(std::string_view bytes) { ::SHA256_Update(&context_, bytes.data(), bytes.size()); }

    /// The digest in hexadecimal, as sha256sum prints it. Ends the computation.
    std::string hex() {
        std::string digest(SHA256_DIGEST_LENGTH, '\0');
        ::SHA256_Final(reinterpret_cast<unsigned char*>(digest.data()), &context_);
        return bson::to_hex(digest);
    }

  private:
    ::SHA256_CTX context_;
};

inline std::string sha256(std::string_view bytes) {
    Sha256 hash;
    hash.add(bytes);
    return hash.hex();
}

} // namespace oplog::tools
