// Prometheus metrics, with prometheus-cpp behind the door. Base units, `_total` for counters,
// labels from small fixed sets; every name is in docs/metrics.md (tests/tidy holds that).
//
// NOTE Threading: everything is thread-safe. Handles are valid as long as the Registry.
// NOTE Performance: an increment is one atomic add; asking a family for a labelled handle takes a
// lock, so keep handles.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
class Registry;
struct MetricFamily;
}  // namespace prometheus

namespace forkplane::metrics {

using Labels = std::map<std::string, std::string>;

class Counter {
 public:
  explicit Counter(prometheus::Counter* impl = nullptr) : impl_(impl) {}
  void Increment(double by = 1);
  double Value() const;

 private:
  prometheus::Counter* impl_;
};

class Gauge {
 public:
  explicit Gauge(prometheus::Gauge* impl = nullptr) : impl_(impl) {}
  void Set(double value);
  void Add(double by);
  double Value() const;

 private:
  prometheus::Gauge* impl_;
};

class Histogram {
 public:
  explicit Histogram(prometheus::Histogram* impl = nullptr) : impl_(impl) {}
  void Observe(double value);

 private:
  prometheus::Histogram* impl_;
};

// Seconds from 100 us to 10 s: driver calls, commits, reconciles.
std::vector<double> LatencyBuckets();

// Values that are counted elsewhere (the kernel), read anew for one exposition: what is not added
// again is gone from the next one, with its labels.
class Scrape {
 public:
  explicit Scrape(std::vector<prometheus::MetricFamily>& families) : families_(families) {}
  // No two with the same name and labels.
  void AddCounter(const std::string& name, const std::string& help, const Labels& labels,
                  double value);
  void AddGauge(const std::string& name, const std::string& help, const Labels& labels,
                double value);

 private:
  prometheus::MetricFamily& FamilyOf(const std::string& name, const std::string& help);

  std::vector<prometheus::MetricFamily>& families_;
};

// The same name with the same labels gives the same metric. A default-made handle counts nowhere,
// so a component can be built without a registry.
class Registry {
 public:
  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  Counter AddCounter(const std::string& name, const std::string& help, const Labels& labels = {});
  Gauge AddGauge(const std::string& name, const std::string& help, const Labels& labels = {});
  Histogram AddHistogram(const std::string& name, const std::string& help,
                         const Labels& labels = {}, std::vector<double> buckets = LatencyBuckets());

  // Called by every Serialize, on its thread. To be added before the first.
  using Source = std::function<void(Scrape&)>;
  void AddSource(Source source) { sources_.push_back(std::move(source)); }

  // The text exposition format, version 0.0.4.
  std::string Serialize() const;

 private:
  std::shared_ptr<prometheus::Registry> registry_;
  std::vector<Source> sources_;
};

}  // namespace forkplane::metrics
