// SPDX-License-Identifier: Apache-2.0

// bench-libbson-json FILE: does what oplog-cat does, in the way of a program that has only libbson.

#include <bson/bson.h>

#include <cstdio>

int main(int argc, char** argv) {
    bson_error_t error;
    bson_reader_t* reader = argc == 2 ? bson_reader_new_from_file(argv[1], &error) : nullptr;
    if (!reader) {
        std::fputs("usage: bench-libbson-json FILE\n", stderr);
        return 2;
    }
    bool whole = false;
    while (const bson_t* document = bson_reader_read(reader, &whole)) {
        std::size_t size = 0;
        char* json = bson_as_canonical_extended_json(document, &size);
        if (!json) return 1;
        json[size] = '\n';
        std::fwrite(json, 1, size + 1, stdout);
        bson_free(json);
    }
    bson_reader_destroy(reader);
    return whole ? 0 : 1;
}
