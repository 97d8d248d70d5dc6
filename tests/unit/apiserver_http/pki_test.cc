// Goal: the PKI is made once, finished when a crash left half of it, renewed when needed, and its
// CA is never replaced.
#include "controller/apiserver/http/pki.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "controller/apiserver/http/certificate.h"
#include "controller/apiserver/http/private_file.h"
#include "tests/support/tempdir.h"

namespace forkplane::apiserver {
namespace {

namespace fs = std::filesystem;

class PkiTest : public ::testing::Test {
 protected:
  Status Ensure(const std::vector<std::string>& hosts = {}) {
    const auto files = EnsurePki(path_, hosts, clock_);
    if (!files.ok()) return files.error();
    const auto context = TlsContext::Open(*files);
    return context.ok() ? OkStatus() : Status(context.error());
  }
  std::string Read(const std::string& name) {
    return ReadSmallFile(path_ + "/" + name).value().value_or("");
  }
  std::map<std::string, std::string> All() {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(path_)) {
      const std::string name = entry.path().filename().string();
      files[name] = Read(name);
    }
    return files;
  }
  void Write(const std::string& name, const std::string& bytes) {
    std::ofstream(path_ + "/" + name) << bytes;
  }

  testing::TempDir directory_;
  std::string path_ = directory_.File("pki");
  ManualClock clock_;
};

TEST_F(PkiTest, TheFirstStartMakesSixPrivateFilesAndTheSecondNone) {
  ASSERT_TRUE(Ensure().ok());
  const auto files = All();
  EXPECT_EQ(files.size(), 6U);
  for (const auto& [name, bytes] : files) {
    struct stat info {};
    ASSERT_EQ(::stat((path_ + "/" + name).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600U) << name;
  }
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
  ASSERT_TRUE(Ensure().ok());
  EXPECT_EQ(All(), files);
}

// Method: files come into being in one order; every prefix of it is what a crash can leave, with or
// without a temporary file.
TEST_F(PkiTest, EveryHalfMadePkiIsFinished) {
  ASSERT_TRUE(Ensure().ok());
  const auto files = All();
  const std::vector<std::string> order = {"ca.key",     "ca.crt",    "server.key",
                                          "server.crt", "admin.key", "admin.crt"};
  for (std::size_t made = 0; made <= order.size(); ++made) {
    for (const std::string& name : order) fs::remove(path_ + "/" + name);
    for (std::size_t i = 0; i < made; ++i) Write(order[i], files.at(order[i]));
    if (made < order.size()) Write(order[made] + ".new", "half a fi");
    ASSERT_TRUE(Ensure().ok()) << made;
    for (std::size_t i = 0; i < made && i < 2; ++i) EXPECT_EQ(Read(order[i]), files.at(order[i]));
    if (made >= 4) {
      EXPECT_EQ(Read("server.crt"), files.at("server.crt"));
    }
    for (const std::string& name : order) EXPECT_NE(Read(name), "") << name;
  }
}

TEST_F(PkiTest, AKeyOfARenewalThatCrashedIsRenewedAgain) {
  ASSERT_TRUE(Ensure().ok());
  Write("server.key", NewKeyPem().value());
  ASSERT_TRUE(Ensure().ok());
}

TEST_F(PkiTest, TheCaIsNeverReplaced) {
  ASSERT_TRUE(Ensure().ok());
  const std::string certificate = Read("ca.crt");
  fs::remove(path_ + "/ca.key");
  const Status missing = Ensure();
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().message.find("ca.key is missing"), std::string::npos);
  Write("ca.key", NewKeyPem().value());
  EXPECT_FALSE(Ensure().ok());
  EXPECT_EQ(Read("ca.crt"), certificate);
  Write("ca.crt", "garbage");
  EXPECT_FALSE(Ensure().ok());
  EXPECT_EQ(Read("ca.crt"), "garbage");
}

TEST_F(PkiTest, ANewHostNameRenewsTheServerAlone) {
  ASSERT_TRUE(Ensure().ok());
  auto before = All();
  ASSERT_TRUE(Ensure({"node-1.example", "10.1.2.3"}).ok());
  auto after = All();
  for (const char* name : {"ca.crt", "ca.key", "admin.crt", "admin.key"}) {
    EXPECT_EQ(after[name], before[name]) << name;
  }
  EXPECT_NE(after["server.crt"], before["server.crt"]);
  ASSERT_TRUE(Ensure({"node-1.example", "10.1.2.3"}).ok());
  EXPECT_EQ(All(), after);
}

TEST_F(PkiTest, HostNamesCannotSmuggleExtensions) {
  EXPECT_FALSE(Ensure({"a,IP:1.2.3.4"}).ok());
  EXPECT_FALSE(Ensure({""}).ok());
}

TEST_F(PkiTest, LeavesAreRenewedAYearBeforeTheirEnd) {
  ASSERT_TRUE(Ensure().ok());
  auto before = All();
  constexpr std::chrono::hours kYear{24 * 365};
  clock_.Advance(2 * kYear - std::chrono::hours(1));
  ASSERT_TRUE(Ensure().ok());
  EXPECT_EQ(All(), before);
  clock_.Advance(std::chrono::hours(2));
  ASSERT_TRUE(EnsurePki(path_, {}, clock_).ok());
  auto after = All();
  EXPECT_EQ(after["ca.crt"], before["ca.crt"]);
  EXPECT_NE(after["server.crt"], before["server.crt"]);
  EXPECT_NE(after["admin.crt"], before["admin.crt"]);
}

TEST_F(PkiTest, TheKubeconfigIsPrivateWholeAndWrittenOnlyWhenItChanges) {
  const std::string path = directory_.File("kubeconfig");
  EXPECT_FALSE(WriteKubeconfig(path_, "https://127.0.0.1:6443", path).ok()) << "no pki yet";
  ASSERT_TRUE(Ensure().ok());
  ASSERT_TRUE(WriteKubeconfig(path_, "https://127.0.0.1:6443", path).ok());
  struct stat first {};
  ASSERT_EQ(::stat(path.c_str(), &first), 0);
  EXPECT_EQ(first.st_mode & 0777, 0600U);
  const std::string text = ReadSmallFile(path).value().value();
  EXPECT_NE(text.find("server: https://127.0.0.1:6443\n"), std::string::npos);
  EXPECT_NE(text.find("client-key-data: " + Base64(Read("admin.key")) + "\n"), std::string::npos);
  ASSERT_TRUE(WriteKubeconfig(path_, "https://127.0.0.1:6443", path).ok());
  struct stat second {};
  ASSERT_EQ(::stat(path.c_str(), &second), 0);
  EXPECT_EQ(second.st_ino, first.st_ino);
  ASSERT_TRUE(WriteKubeconfig(path_, "https://10.0.0.1:1", path).ok());
  EXPECT_NE(ReadSmallFile(path).value().value().find("10.0.0.1:1"), std::string::npos);
}

}  // namespace
}  // namespace forkplane::apiserver
