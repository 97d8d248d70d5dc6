// What every convergence suite shares: its depth, its mutants, its report.
//
// A suite is a function of a planner that returns what it found wrong. It is run with the true
// planner, where it must find nothing, and with each mutant of the written list, where it must find
// something: a suite that cannot tell a broken loop from a right one is worth nothing.
//
//   suite                 the true planner
//   suite --mutant=N      the N-th mutant: 0 when it was killed
//   suite --mutants       all of them: 0 when all were killed
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace forkplane::convergence {

// 0: a fifth of the crash points (sanitizers); 1: all of them, one drift per world; 2: every pair
// (nightly).
inline int Depth() {
  const char* text = std::getenv("FORKPLANE_TEST_DEPTH");
  return text == nullptr ? 1 : std::atoi(text);
}

struct Report {
  int worlds = 0;
  int runs = 0;
  std::vector<std::string> wrong;
  bool first_only = false;  // mutants need one
  bool clean_only = false;  // no faults: kills most mutants at once

  bool Done() const { return first_only && !wrong.empty(); }
  void Wrong(std::string what) { wrong.push_back(std::move(what)); }
};

template <typename Planner>
struct Mutant {
  const char* name;
  Planner plan;
};

template <typename Planner>
int RunMutant(const std::function<void(const Planner&, Report&)>& suite, const Mutant<Planner>& m) {
  Report report;
  report.first_only = true;
  report.clean_only = true;
  suite(m.plan, report);
  report.clean_only = false;
  if (report.wrong.empty()) suite(m.plan, report);
  const bool killed = !report.wrong.empty();
  fmt::print("{} {}: {}\n", killed ? "killed  " : "SURVIVED", m.name,
             killed ? report.wrong.front() : "");
  return killed ? 0 : 1;
}

template <typename Planner>
int Main(int argc, char** argv, const std::function<void(const Planner&, Report&)>& suite,
         const Planner& planner, const std::vector<Mutant<Planner>>& mutants) {
  const std::string_view argument = argc > 1 ? argv[1] : "";
  if (argument == "--mutants") {
    int survived = 0;
    for (const auto& mutant : mutants) survived += RunMutant(suite, mutant);
    fmt::print("{} mutants, {} survived\n", mutants.size(), survived);
    return survived == 0 ? 0 : 1;
  }
  if (argument.starts_with("--mutant=")) {
    const std::size_t n = std::strtoul(argument.data() + 9, nullptr, 10);
    if (n >= mutants.size()) {
      fmt::print("there are {} mutants\n", mutants.size());
      return 2;
    }
    return RunMutant(suite, mutants[n]);
  }
  Report report;
  suite(planner, report);
  for (std::size_t i = 0; i < report.wrong.size() && i < 20; ++i) {
    fmt::print("wrong: {}\n", report.wrong[i]);
  }
  fmt::print("{} worlds, {} runs, {} wrong\n", report.worlds, report.runs, report.wrong.size());
  return report.wrong.empty() && report.runs > 0 ? 0 : 1;
}

}  // namespace forkplane::convergence
