#include "controller/apiserver/http/gzip.h"

#include <zlib.h>

#include <limits>

namespace forkplane::apiserver {

std::optional<std::string> Gzip(std::string_view bytes) {
  constexpr int kLevel = 1;
  constexpr int kWindowBitsGzip = 15 + 16;  // +16: a gzip header instead of zlib's
  constexpr int kMemoryLevel = 8;
  if (bytes.size() > std::numeric_limits<uInt>::max()) return std::nullopt;
  z_stream stream{};
  if (::deflateInit2(&stream, kLevel, Z_DEFLATED, kWindowBitsGzip, kMemoryLevel,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
    return std::nullopt;
  }
  std::string out(::deflateBound(&stream, static_cast<uLong>(bytes.size())), '\0');
  // zlib never writes through next_in; its type is older than const.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = ::deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  if (result != Z_STREAM_END) return std::nullopt;
  return out;
}

}  // namespace forkplane::apiserver
