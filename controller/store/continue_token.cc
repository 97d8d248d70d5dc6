#include "controller/store/continue_token.h"

#include <array>
#include <nlohmann/json.hpp>

#include "controller/store/errors.h"
#include "controller/store/limits.h"
#include "controller/store/object_store.h"
#include "crd/json.h"

namespace forkplane::store {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string EncodeBase64Url(std::string_view bytes) {
  std::string text;
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : bytes) {
    bits = (bits << 8) | static_cast<unsigned char>(c);
    count += 8;
    while (count >= 6) {
      count -= 6;
      text += kAlphabet[(bits >> count) & 0x3f];
    }
  }
  if (count > 0) text += kAlphabet[(bits << (6 - count)) & 0x3f];
  return text;
}

bool DecodeBase64Url(std::string_view text, std::string* bytes) {
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : text) {
    const std::size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) return false;
    bits = (bits << 6) | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      *bytes += static_cast<char>((bits >> count) & 0xff);
    }
  }
  return true;
}

Error BadToken() { return BadRequestError("continue key is not valid"); }

}  // namespace

std::string EncodeContinue(const ContinueToken& token) {
  crd::Json json = {{"v", "meta.k8s.io/v1"}, {"start", token.start}};
  if (token.revision == 0) {
    json["rv"] = -1;
  } else {
    json["rv"] = token.revision;
  }
  return EncodeBase64Url(crd::DumpJson(json));
}

Result<ContinueToken> DecodeContinue(std::string_view text) {
  std::string bytes;
  if (text.size() > kContinueTokenBytesMax || !DecodeBase64Url(text, &bytes)) return BadToken();
  const Result<crd::Json> json = crd::ParseJson(bytes);
  if (!json.ok() || !json->is_object()) return BadToken();
  const auto version = json->find("v");
  const auto revision = json->find("rv");
  const auto start = json->find("start");
  if (version == json->end() || *version != "meta.k8s.io/v1") return BadToken();
  if (revision == json->end() || !revision->is_number_integer()) return BadToken();
  if (start == json->end() || !start->is_string() || start->get<std::string>().empty()) {
    return BadToken();
  }
  const auto number = revision->get<std::int64_t>();
  if (number == 0 || number < -1) return BadToken();
  return ContinueToken{.revision = number < 0 ? 0 : static_cast<Revision>(number),
                       .start = start->get<std::string>()};
}

Result<std::string> InconsistentContinue(const std::string& continue_token) {
  ASSIGN_OR_RETURN(ContinueToken token, DecodeContinue(continue_token));
  token.revision = 0;
  return EncodeContinue(token);
}

}  // namespace forkplane::store
