// Every bound of the store, in one place.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace forkplane::store {

// History kept in memory for watches to resume and pages to continue: events younger than the
// window stay, unless there are more than the maximum of them or of their bytes.
inline constexpr std::chrono::minutes kHistoryWindow{5};
inline constexpr std::size_t kHistoryEventsMin = 1000;  // kept however old
inline constexpr std::size_t kHistoryEventsMax = 50'000;
inline constexpr std::size_t kHistoryBytesMax = std::size_t{32} * 1024 * 1024;

// Writes that wait for the commit thread and will share one commit (each has a caller that waits);
// one more is refused with Unavailable.
inline constexpr std::size_t kQueuedWritesMax = 10'000;

// Records the log drops in one step, between commits, and how far it may lag behind the history.
inline constexpr std::size_t kCompactRecordsMax = 500;
inline constexpr std::size_t kCompactLag = 1000;

// WAL pages (4 KiB) after which the checkpoint thread starts, and after which the writer itself
// stops to empty the WAL (a disk that cannot keep up).
inline constexpr int kCheckpointPages = 1000;
inline constexpr int kWalPagesMax = 16'384;

// generateName: names tried before AlreadyExists, and how the name is made.
inline constexpr int kGenerateNameAttempts = 8;
inline constexpr std::size_t kGenerateNameBaseMax = 58;
inline constexpr std::size_t kGenerateNameSuffix = 5;

// Times a write is prepared anew because another one to the same object came between.
inline constexpr int kWriteAttemptsMax = 100;

// What may be written: the bytes of the stored text, and its levels of arrays and objects. Reading
// allows more (crd::JsonLimits), because the server itself adds to what is there (a deletion's
// timestamp and finalizers), and what was accepted must be readable for ever.
inline constexpr std::size_t kObjectBytesMax = std::size_t{3} * 1024 * 1024;
inline constexpr std::size_t kObjectDepthMax = 100;
inline constexpr std::size_t kRevisionDigitsMax = 20;

// Revisions that are reserved at a time outside the database (revision_reserve.h): one small
// durable write for so many.
inline constexpr std::uint64_t kReservedRevisions = 100'000;

// Health asks the disk again when the last durable write is older than this; it waits so long for
// the answer; and fewer free bytes than this are as good as none: an object of full size goes into
// the WAL and from there into the database.
inline constexpr std::chrono::seconds kProbeAfter{5};
inline constexpr std::chrono::seconds kProbePatience{3};
inline constexpr std::uint64_t kDiskFreeMin = std::uint64_t{16} * 1024 * 1024;

inline constexpr std::size_t kContinueTokenBytesMax = 4096;

}  // namespace forkplane::store
