// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <memory>
#include <new>
#include <openssl/evp.h>
#include <string>
#include <string_view>

namespace oplog::tools {

/// Computes the SHA-256 of bytes as they come.
class Sha256 {
  public:
    Sha256() : context_(::EVP_MD_CTX_new()) {
        if (!context_ || ::EVP_DigestInit_ex(context_.get(), ::EVP_sha256(), nullptr) != 1) throw std::bad_alloc();
    }
    void add(std::string_view bytes) { ::EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()); }

    /// The digest in hexadecimal, as sha256sum prints it. Ends the computation.
    std::string hex() {
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned size = 0;
        ::EVP_DigestFinal_ex(context_.get(), digest, &size);
        std::string text;
        for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
        return text;
    }

  private:
    struct Deleter {
        void operator()(EVP_MD_CTX* context) const noexcept { ::EVP_MD_CTX_free(context); }
    };
    std::unique_ptr<EVP_MD_CTX, Deleter> context_;
};

inline std::string sha256(std::string_view bytes) {
    Sha256 hash;
    hash.add(bytes);
    return hash.hex();
}

} // namespace oplog::tools
