#include "controller/base/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

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
  return prometheus::TextSerializer().Serialize(registry_->Collect());
}

}  // namespace forkplane::metrics
