#include "controller/base/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>

#include "controller/base/check.h"

namespace forkplane::metrics {

void Counter::Increment(double by) {
  if (impl_ != nullptr) impl_->Increment(by);
}
double Counter::Value() const { return impl_ != nullptr ? impl_->Value() : 0; }

void Gauge::Set(double value) {
  if (impl_ != nullptr) impl_->Set(value);
}
void Gauge::Add(double by) {
  if (impl_ != nullptr) impl_->Increment(by);
}
double Gauge::Value() const { return impl_ != nullptr ? impl_->Value() : 0; }

void Histogram::Observe(double value) {
  if (impl_ != nullptr) impl_->Observe(value);
}

std::vector<double> LatencyBuckets() {
  return {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
          0.05,   0.1,     0.25,   0.5,   1,      2.5,   5,    10};
}

Registry::Registry()
    : registry_(
          std::make_shared<prometheus::Registry>(prometheus::Registry::InsertBehavior::Merge)) {}
Registry::~Registry() = default;

namespace {

// prometheus-cpp 1.0.1 writes HELP unescaped: a newline would break the whole exposition.
void CheckHelp(const std::string& help) { CHECK(help.find('\n') == std::string::npos); }

}  // namespace

Counter Registry::AddCounter(const std::string& name, const std::string& help,
                             const Labels& labels) {
  CheckHelp(help);
  return Counter(
      &prometheus::BuildCounter().Name(name).Help(help).Register(*registry_).Add(labels));
}

Gauge Registry::AddGauge(const std::string& name, const std::string& help, const Labels& labels) {
  CheckHelp(help);
  return Gauge(&prometheus::BuildGauge().Name(name).Help(help).Register(*registry_).Add(labels));
}

Histogram Registry::AddHistogram(const std::string& name, const std::string& help,
                                 const Labels& labels, std::vector<double> buckets) {
  CheckHelp(help);
  return Histogram(&prometheus::BuildHistogram()
                        .Name(name)
                        .Help(help)
                        .Register(*registry_)
                        .Add(labels, std::move(buckets)));
}

std::string Registry::Serialize() const {
  std::vector<prometheus::MetricFamily> families = registry_->Collect();
  Scrape scrape(families);
  for (const Source& source : sources_) source(scrape);
  return prometheus::TextSerializer().Serialize(families);
}

prometheus::MetricFamily& Scrape::FamilyOf(const std::string& name, const std::string& help) {
  const auto found = std::find_if(families_.begin(), families_.end(),
                                  [&](const auto& family) { return family.name == name; });
  if (found != families_.end()) return *found;
  CheckHelp(help);
  prometheus::MetricFamily& family = families_.emplace_back();
  family.name = name;
  family.help = help;
  return family;
}

namespace {

prometheus::ClientMetric& AddTo(prometheus::MetricFamily& family, const Labels& labels) {
  prometheus::ClientMetric& metric = family.metric.emplace_back();
  for (const auto& [name, value] : labels) metric.label.push_back({name, value});
  return metric;
}

}  // namespace

void Scrape::AddCounter(const std::string& name, const std::string& help, const Labels& labels,
                        double value) {
  prometheus::MetricFamily& family = FamilyOf(name, help);
  family.type = prometheus::MetricType::Counter;
  AddTo(family, labels).counter.value = value;
}

void Scrape::AddGauge(const std::string& name, const std::string& help, const Labels& labels,
                      double value) {
  prometheus::MetricFamily& family = FamilyOf(name, help);
  family.type = prometheus::MetricType::Gauge;
  AddTo(family, labels).gauge.value = value;
}

}  // namespace forkplane::metrics
