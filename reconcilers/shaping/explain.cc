#include "reconcilers/shaping/explain.h"

#include <nlohmann/json.hpp>

#include "controller/base/network_names.h"
#include "crd/json.h"

namespace forkplane::shaping {
namespace {

using crd::Json;

Json JsonOf(const drivers::HtbClass& htb) {
  return {{"class", fmt::format("7f00:{:x}", htb.minor)},
          {"parent", fmt::format("7f00:{:x}", htb.parent_minor)},
          {"rateBytesPerSecond", htb.rate_bytes_per_second},
          {"ceilBytesPerSecond", htb.ceil_bytes_per_second},
          {"burstBytes", htb.burst_bytes},
          {"ceilBurstBytes", htb.ceil_burst_bytes}};
}

Json JsonOf(const drivers::Tbf& tbf) {
  return {{"rateBytesPerSecond", tbf.rate_bytes_per_second},
          {"burstBytes", tbf.burst_bytes},
          {"limitBytes", tbf.limit_bytes}};
}

Json JsonOf(const DesiredShape& shape) {
  Json json = {{"tap", TapName(shape.number)}};
  switch (shape.intent) {
    case Intent::kRelease:
      json["intent"] = "Release";
      break;
    case Intent::kKeep:
      json["intent"] = "Keep";
      break;
    case Intent::kShape:
      json["intent"] = "Shape";
      json["upload"] = JsonOf(shape.rates.htb);
      json["leafBytes"] = shape.rates.leaf.limit_bytes;
      json["download"] = JsonOf(shape.rates.tbf);
      break;
  }
  return json;
}

}  // namespace

std::string ExplainText(const Desired& desired, const Observed& observed) {
  Json shapes = Json::array();
  Json classes = Json::array();
  Json buckets = Json::object();
  Json plan = Json::array();
  for (const DesiredShape& shape : desired.shapes) shapes.push_back(JsonOf(shape));
  for (const auto& [minor, is] : observed.classes) {
    Json json = JsonOf(is.htb);
    json["leafBytes"] = is.leaf ? Json(is.leaf->limit_bytes) : Json();
    classes.push_back(std::move(json));
  }
  for (const auto& [number, tbf] : observed.tbfs) buckets[TapName(number)] = JsonOf(tbf);
  for (const Action& action : MakePlan(desired, observed)) plan.push_back(ToString(action));
  return crd::DumpJson({{"desired", std::move(shapes)},
                        {"observed",
                         {{"ready", observed.ready},
                          {"capacityBytesPerSecond", observed.capacity_bytes_per_second},
                          {"classes", std::move(classes)},
                          {"buckets", std::move(buckets)}}},
                        {"plan", std::move(plan)}});
}

}  // namespace forkplane::shaping
