#include "controller/base/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace forkplane::metrics {
namespace {

using ::testing::HasSubstr;

TEST(MetricsTest, TheSameNameAndLabelsAreTheSameMetric) {
  Registry registry;
  registry.AddCounter("forkplane_things_total", "Things.", {{"kind", "a"}}).Increment();
  registry.AddCounter("forkplane_things_total", "Things.", {{"kind", "a"}}).Increment(2);
  EXPECT_THAT(registry.Serialize(), HasSubstr("forkplane_things_total{kind=\"a\"} 3"));
}

TEST(MetricsTest, AHandleWithoutARegistryCountsNowhere) {
  Counter counter;
  counter.Increment();
  EXPECT_EQ(counter.Value(), 0);
  Gauge().Set(1);
  Histogram().Observe(1);
}

TEST(MetricsTest, HistogramsAreInSeconds) {
  Registry registry;
  registry.AddHistogram("forkplane_wait_seconds", "Waits.").Observe(0.003);
  EXPECT_THAT(registry.Serialize(), HasSubstr("forkplane_wait_seconds_bucket{le=\"0.005\"} 1"));
}

TEST(MetricsTest, WhatASourceDoesNotAddAgainIsGone) {
  Registry registry;
  int scrapes = 0;
  registry.AddSource([&scrapes](Scrape& scrape) {
    scrape.AddGauge("forkplane_things", "Things.", {}, ++scrapes);
    if (scrapes == 1) {
      scrape.AddCounter("forkplane_taken_total", "Taken.", {{"kind", "a"}}, 7);
      scrape.AddCounter("forkplane_taken_total", "Taken.", {{"kind", "b"}}, 8);
    }
  });
  EXPECT_THAT(registry.Serialize(),
              ::testing::AllOf(HasSubstr("# TYPE forkplane_taken_total counter\n"
                                         "forkplane_taken_total{kind=\"a\"} 7\n"
                                         "forkplane_taken_total{kind=\"b\"} 8\n"),
                               HasSubstr("forkplane_things 1\n")));
  EXPECT_THAT(registry.Serialize(), ::testing::AllOf(::testing::Not(HasSubstr("taken")),
                                                     HasSubstr("forkplane_things 2\n")));
}

}  // namespace
}  // namespace forkplane::metrics
