#include "controller/store/revision_reserve.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>

#include "controller/base/log.h"
#include "controller/base/unique_fd.h"
#include "controller/base/whole_file.h"
#include "controller/store/limits.h"

namespace forkplane::store {
namespace {

constexpr std::string_view kReserved = "reserved";
constexpr std::string_view kClosed = "closed";
constexpr std::size_t kFileBytesMax = 64;

struct Content {
  bool closed = false;
  Revision revision = 0;
};

// "reserved 1764540000000000\n"; nothing: there is no file.
Result<std::optional<Content>> Read(const std::string& path) {
  Result<std::string> text = ReadFile(path, kFileBytesMax);
  if (!text.ok()) {
    if (text.error().code == Code::kNotFound) return std::optional<Content>();
    return std::move(text).error();
  }
  std::string_view line = *text;
  const std::size_t space = line.find(' ');
  const std::string_view state = line.substr(0, space);
  Content content{.closed = state == kClosed};
  const bool known = content.closed || state == kReserved;
  if (known && space != std::string_view::npos && line.ends_with('\n')) {
    line = line.substr(space + 1, line.size() - space - 2);
    if (ParseRevision(line, &content.revision) && content.revision != 0) {
      return std::optional<Content>(content);
    }
  }
  return Internal(fmt::format(
      "{}: does not hold a revision: restore it; moved away, revisions go on from the time of day",
      path));
}

}  // namespace

Result<std::unique_ptr<RevisionReserve>> RevisionReserve::Open(std::string path, Revision newest,
                                                               Revision otherwise) {
  std::unique_ptr<RevisionReserve> reserve(new RevisionReserve(std::move(path)));
  ASSIGN_OR_RETURN(const std::optional<Content> content, Read(reserve->path_));
  reserve->start_ = std::max(newest, content ? content->revision : otherwise);
  if (!content) return reserve;
  // A killed process leaves at most a block unused behind the newest revision.
  const Revision slack = content->closed ? 0 : kReservedRevisions + kQueuedWritesMax;
  if (content->revision > newest + slack) {
    log::Err(
        "the object store is older than what this host gave out: is it a backup? Changes are "
        "missing from it; clients are told to list again",
        {{"newest", newest}, {"given", content->revision}});
  }
  reserve->reserved_ = content->closed ? 0 : content->revision;
  return reserve;
}

Status RevisionReserve::Cover(Revision revision) {
  if (revision <= reserved_) return OkStatus();
  RETURN_IF_ERROR(Write(kReserved, revision + kReservedRevisions));
  reserved_ = revision + kReservedRevisions;
  return OkStatus();
}

Status RevisionReserve::Close(Revision last) {
  reserved_ = 0;
  return Write(kClosed, std::max(last, start_));
}

// Whole or not at all, and durable: the folder is synced too.
Status RevisionReserve::Write(std::string_view state, Revision revision) {
  const std::string fresh = path_ + ".new";
  {
    const UniqueFd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!fd.valid()) return FromErrno(errno, fmt::format("open {}", fresh));
    RETURN_IF_ERROR(WriteAll(fd.get(), fmt::format("{} {}\n", state, revision), fresh));
    if (::fsync(fd.get()) != 0) return FromErrno(errno, fmt::format("sync {}", fresh));
  }
  if (::rename(fresh.c_str(), path_.c_str()) != 0) {
    return FromErrno(errno, fmt::format("rename {}", fresh));
  }
  return SyncFolderOf(path_);
}

}  // namespace forkplane::store
