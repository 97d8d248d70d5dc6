// Every bound of the runtime, in one place.
#pragma once

#include <chrono>
#include <cstddef>

namespace forkplane::runtime {

// Backoff of a key that keeps failing: client-go's numbers.
inline constexpr std::chrono::milliseconds kBackoffFirst{5};
inline constexpr std::chrono::seconds kBackoffMax{1000};

// What the kernel tells of a TAP or an IFB is gathered this long: one change is many events, and
// each of our own comes back. Repair of what others broke begins this much later.
inline constexpr std::chrono::milliseconds kEventMergeWindow{2};
// The same where one pass is a handful of looks: of one interface's shaping.
inline constexpr std::chrono::microseconds kInterfaceMergeWindow{500};

// Statuses of one object that wait to be written, each holding a False that must be seen.
inline constexpr std::size_t kStatusPendingMax = 8;
// Objects with a status that waits. More means the store has been away for long: the wish is
// dropped and counted; the loop's resync brings it back.
inline constexpr std::size_t kStatusObjectsMax = 65536;
inline constexpr std::chrono::milliseconds kStatusMergeWindow{50};
inline constexpr std::chrono::milliseconds kStatusRetryFirst{50};
inline constexpr std::chrono::seconds kStatusRetryMax{5};
// A status that the store refuses as invalid.
inline constexpr std::chrono::seconds kStatusRefusedRetry{60};

// Events that wait to be written, and recorded ones that a repetition may still count on.
inline constexpr std::size_t kEventQueueMax = 1024;
inline constexpr std::size_t kEventsRememberedMax = 4096;
// Events of one object, type and reason with messages of their own; further ones share one.
inline constexpr std::size_t kSimilarEventsMax = 5;
// Longest message of an Event (the API's own limit).
inline constexpr std::size_t kEventMessageBytesMax = 1024;

// Between two attempts of an informer to reach a store that does not answer.
inline constexpr std::chrono::milliseconds kInformerRetryFirst{100};
inline constexpr std::chrono::seconds kInformerRetryMax{10};
inline constexpr std::size_t kInformerPageSize = 500;

}  // namespace forkplane::runtime
