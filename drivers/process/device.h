// Who may open a device node of the host, told by the node itself: distributions give /dev/kvm a
// group ("kvm" in Debian, 0660), an administrator may choose another, and a host without udev has
// none. No name of a group is known here.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "controller/base/result.h"

namespace forkplane::process {

// The group by which an unprivileged process opens the node for reading and writing; nullopt: it
// needs none, others may. Unavailable, with the node's mode and how to mend it: only its owner or
// group 0 may open it, and no process of ours is ever in that. NotFound: no such node. Invalid: no
// character device. An access list (acl(5)) is not read: what the process finds is the last word.
Result<std::optional<gid_t>> GroupToOpenDevice(const std::string& path);

// "/dev/kvm is 0660 root:kvm", for messages; "/dev/kvm: No such file or directory".
std::string DescribeDevice(const std::string& path);

}  // namespace forkplane::process
