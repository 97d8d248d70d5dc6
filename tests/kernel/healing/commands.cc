#include "tests/kernel/healing/commands.h"

#include <iomanip>
#include <sstream>

#include "drivers/process/run_command.h"

namespace forkplane::healing {

std::vector<std::string> WordsOf(std::string_view line) {
  std::istringstream stream{std::string(line)};
  std::vector<std::string> words;
  for (std::string word; stream >> std::quoted(word, '\'');) words.push_back(word);
  return words;
}

Result<std::string> RunLine(const std::string& line) {
  process::CommandSpec command;
  command.argv = WordsOf(line);
  auto output = process::RunCommandOk(command);
  if (!output.ok()) return std::move(output).error().WithContext(line);
  return output;
}

Status RunAll(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) RETURN_IF_ERROR(RunLine(line));
  return OkStatus();
}

}  // namespace forkplane::healing
