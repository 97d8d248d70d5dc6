// Goal: every clone that asks is given the inner identity by its own TAP, for ever; nobody else is
// answered by it, and nothing but a whole question is.
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <array>
#include <chrono>

#include "controller/base/network_names.h"
#include "tests/kernel/traffic/dhcp.h"
#include "tests/kernel/traffic/lab.h"

namespace forkplane::traffic {
namespace {

using drivers::DropReason;

constexpr Ipv4 kDns{0x01010101};
constexpr Ipv4 kOtherDns{0x09090909};
constexpr int kSoon = 50;  // milliseconds: an answer is there when the question has been written

Bytes Bytes32(std::uint32_t value) {
  Bytes bytes(4);
  Write32(bytes, 0, value);
  return bytes;
}

DhcpQuestion QuestionOf(DhcpType type, std::optional<Ipv4> requested = {}) {
  DhcpQuestion question;
  question.options = DhcpOptions(type, requested);
  question.client = kMac;
  return question;
}

std::optional<DhcpAnswer> AnswerOf(const Guest& guest, int milliseconds = 3000) {
  const auto frame =
      guest.Receive([](const Bytes& f) { return ParseDhcpAnswer(f).has_value(); }, milliseconds);
  return frame ? ParseDhcpAnswer(*frame) : std::nullopt;
}

void ExpectEnvelope(const DhcpAnswer& answer) {
  EXPECT_EQ(answer.to, kMac);
  EXPECT_EQ(answer.from, kGatewayMac);
  EXPECT_EQ(answer.source, kGateway);
  EXPECT_EQ(answer.destination.value, 0xffffffff);
  EXPECT_TRUE(answer.ip_is_right);
  EXPECT_TRUE(answer.udp_is_right);
  EXPECT_EQ(answer.operation, 2);
  EXPECT_EQ(answer.client, kMac);
  EXPECT_TRUE(answer.names_are_empty);
  EXPECT_TRUE(answer.ends);
}

void ExpectLease(const DhcpAnswer& answer, DhcpType type) {
  ExpectEnvelope(answer);
  EXPECT_EQ(answer.transaction, 0x12345678u);
  EXPECT_EQ(answer.yours, kInner);
  EXPECT_EQ(answer.server, kGateway);
  const std::map<std::uint8_t, Bytes> options = {{53, {static_cast<std::uint8_t>(type)}},
                                                 {54, Bytes32(kGateway.value)},
                                                 {51, Bytes32(0xffffffff)},
                                                 {1, {255, 255, 0, 0}},
                                                 {3, Bytes32(kGateway.value)},
                                                 {26, {0x05, 0xdc}}};
  EXPECT_EQ(answer.options, options);
}

using DhcpTest = LabTest;

// An answer passes no leaf: the redirects only.
INSTANTIATE_TEST_SUITE_P(Choices, DhcpTest, ::testing::Values(kChoices[0], kChoices[1]), NameOf);

TEST_P(DhcpTest, BothClonesGetTheSameLeaseAtTheSameTime) {
  InLab([](Lab& lab) {
    const std::array<Guest, 2> guests = {lab.GuestOf(1), lab.GuestOf(2)};
    for (const Guest& guest : guests) {
      ASSERT_TRUE(guest.Send(DhcpFrame(QuestionOf(DhcpType::kDiscover))));
    }
    for (const Guest& guest : guests) {
      const auto offer = AnswerOf(guest);
      ASSERT_TRUE(offer);
      ExpectLease(*offer, DhcpType::kOffer);
    }
    for (const Guest& guest : guests) {
      ASSERT_TRUE(guest.Send(DhcpFrame(QuestionOf(DhcpType::kRequest, kInner))));
    }
    for (const Guest& guest : guests) {
      const auto ack = AnswerOf(guest);
      ASSERT_TRUE(ack);
      ExpectLease(*ack, DhcpType::kAck);
      EXPECT_FALSE(AnswerOf(guest, kSoon)) << "one answer to each, none for the other";
    }
    for (const std::uint32_t number : {1u, 2u}) {
      EXPECT_EQ(lab.CountersOf(number).dhcp_answers, 2u);
      EXPECT_EQ(lab.Drops(number, DropReason::kDestination), 0u);
    }
  });
}

TEST_P(DhcpTest, EveryFormOfAQuestionIsAnswered) {
  InLab([](Lab& lab) {
    const Guest guest = lab.GuestOf(1);
    const Bytes plain = DhcpFrame(QuestionOf(DhcpType::kDiscover));
    std::map<std::string, Bytes> frames = {{"plain", plain}};
    DhcpQuestion question = QuestionOf(DhcpType::kDiscover);
    for (const std::size_t bytes : {253u, 300u, 301u, 600u, 1472u}) {
      question.message_bytes = bytes;
      frames[fmt::format("{} bytes", bytes)] = DhcpFrame(question);
    }
    Bytes with_options = plain;
    with_options.at(kIp) = 0x46;
    with_options.insert(with_options.begin() + kTransport, {1, 1, 1, 0});
    MendPacket(with_options);
    frames["IPv4 options"] = with_options;
    Bytes full = plain;  // of what the answer must not repeat
    std::fill(full.begin() + kDhcp + 12, full.begin() + kDhcp + 28, std::uint8_t{0x5a});
    std::fill(full.begin() + kDhcp + 34, full.begin() + kDhcp + 236, std::uint8_t{0x5a});
    full.at(kDhcp + 3) = full.at(kDhcp + 8) = 0x5a;
    frames["full of words"] = full;
    Bytes padded = plain;
    padded.resize(padded.size() + 20);  // behind the datagram
    frames["padded frame"] = padded;
    for (const auto& [name, frame] : frames) {
      SCOPED_TRACE(name);
      ASSERT_TRUE(guest.Send(frame));
      const auto offer = AnswerOf(guest);
      ASSERT_TRUE(offer);
      ExpectLease(*offer, DhcpType::kOffer);
      EXPECT_EQ(offer->udp_check, 0);
    }
    ASSERT_TRUE(guest.Send(DhcpFrame(QuestionOf(DhcpType::kRequest))));
    const auto ack = AnswerOf(guest);
    ASSERT_TRUE(ack);
    ExpectLease(*ack, DhcpType::kAck);
  });
}

TEST_P(DhcpTest, AQuestionWhoseChecksumTheHostMakesIsAnsweredWithARightOne) {
  InLab([](Lab& lab) {
    const Guest guest = lab.GuestOf(1);
    for (const std::size_t bytes : {280u, 300u, 600u}) {
      DhcpQuestion question = QuestionOf(DhcpType::kRequest, kInner);
      question.message_bytes = bytes;
      ASSERT_TRUE(guest.SendUnfinished(DhcpFrame(question)));
      const auto ack = AnswerOf(guest);
      ASSERT_TRUE(ack);
      ExpectLease(*ack, DhcpType::kAck);
      EXPECT_NE(ack->udp_check, 0);
    }
  });
}

TEST_P(DhcpTest, TransactionAndFlagsComeBackAndTheNetworkIsTold) {
  InLab([](Lab& lab) {
    const Guest guest = lab.GuestOf(2);
    drivers::IdentityEntry entry = Lab::EntryOf(2);
    entry.prefix_length = 29;
    entry.mtu = 9000;
    const std::vector<std::pair<std::array<Ipv4, 2>, Bytes>> servers = {
        {{kDns}, {1, 1, 1, 1}}, {{kDns, kOtherDns}, {1, 1, 1, 1, 9, 9, 9, 9}}};
    for (const auto& [dns, told] : servers) {
      entry.dns = dns;
      ASSERT_TRUE(lab.identity->SetEntry(TapIndex(2), entry).ok());
      ASSERT_EQ(lab.identity->ObserveEntry(TapIndex(2))->value(), entry);
      DhcpQuestion question = QuestionOf(DhcpType::kDiscover);
      question.transaction = 0xdeadbeef;
      question.flags = 0x8000;
      ASSERT_TRUE(guest.Send(DhcpFrame(question)));
      const auto offer = AnswerOf(guest);
      ASSERT_TRUE(offer);
      ExpectEnvelope(*offer);
      EXPECT_EQ(offer->transaction, 0xdeadbeef);
      EXPECT_EQ(offer->flags, 0x8000);
      EXPECT_EQ(offer->options.at(1), (Bytes{255, 255, 255, 248}));
      EXPECT_EQ(offer->options.at(26), (Bytes{0x23, 0x28}));
      EXPECT_EQ(offer->options.at(6), told);
    }
  });
}

TEST_P(DhcpTest, AnotherAddressIsRefused) {
  InLab([](Lab& lab) {
    const Guest guest = lab.GuestOf(1);
    ASSERT_TRUE(guest.Send(DhcpFrame(QuestionOf(DhcpType::kRequest, OuterOf(1)))));
    const auto nak = AnswerOf(guest);
    ASSERT_TRUE(nak);
    ExpectEnvelope(*nak);
    EXPECT_TRUE(nak->yours.empty());
    EXPECT_TRUE(nak->server.empty());
    const std::map<std::uint8_t, Bytes> options = {{53, {6}}, {54, Bytes32(kGateway.value)}};
    EXPECT_EQ(nak->options, options);
  });
}

TEST_P(DhcpTest, AChecksumAtAnotherPlaceIsDropped) {
  InLab([](Lab& lab) {
    const Guest guest = lab.GuestOf(1);
    DhcpQuestion question = QuestionOf(DhcpType::kDiscover);
    question.message_bytes = 600;
    const Bytes frame = DhcpFrame(question);
    for (const std::uint16_t start : std::array<std::uint16_t, 4>{30, 100, 334, 400}) {
      ASSERT_TRUE(guest.SendUnfinished(frame, start, 6)) << start;
    }
    EXPECT_EQ(lab.Drops(1, DropReason::kChecksum), 4u);
    Bytes with_options = frame;
    with_options.at(kIp) = 0x46;
    with_options.insert(with_options.begin() + kTransport, {1, 1, 1, 0});
    MendPacket(with_options);
    ASSERT_TRUE(guest.SendUnfinished(with_options, kTransport + 4, 6));
    EXPECT_EQ(lab.Drops(1, DropReason::kMalformed), 1u);  // the answer has no options
    ASSERT_TRUE(guest.Send(frame));
    const auto offer = AnswerOf(guest);
    ASSERT_TRUE(offer);
    ExpectLease(*offer, DhcpType::kOffer);
  });
}

struct Bad {
  const char* name;
  DropReason reason;
  std::function<void(Bytes&)> spoil;
};

std::vector<Bad> BadQuestions() {
  const auto set = [](std::size_t at, std::uint8_t value) {
    return [=](Bytes& frame) { frame.at(at) = value; };
  };
  const auto options = [](Bytes bytes) {
    return [=](Bytes& frame) {
      frame.resize(kDhcpOptions);
      frame.insert(frame.end(), bytes.begin(), bytes.end());
      MendPacket(frame);
    };
  };
  const auto of_type = [=](DhcpType type) { return options(DhcpOptions(type)); };
  return {
      {"decline", DropReason::kDhcp, of_type(DhcpType::kDecline)},
      {"release", DropReason::kDhcp, of_type(DhcpType::kRelease)},
      {"inform", DropReason::kDhcp, of_type(DhcpType::kInform)},
      {"no type", DropReason::kDhcp, options({12, 1, 'a', 255})},
      {"no options", DropReason::kMalformed, options({})},
      {"no end", DropReason::kMalformed, options({53, 1, 1})},
      {"an option without length", DropReason::kMalformed, options({53, 1, 1, 50})},
      {"a truncated option", DropReason::kMalformed, options({53, 1, 1, 12, 200, 'a', 255})},
      {"a type of two bytes", DropReason::kMalformed, options({53, 2, 1, 1, 255})},
      {"an address of three bytes", DropReason::kMalformed,
       options({53, 1, 1, 50, 3, 1, 1, 1, 255})},
      {"33 options", DropReason::kMalformed,
       [=](Bytes& frame) {
         Bytes many(32);
         many.insert(many.end(), {53, 1, 1, 255});
         options(many)(frame);
       }},
      {"an option behind the datagram", DropReason::kMalformed,
       [](Bytes& frame) { Write16(frame, kTransport + 4, 8 + 241); }},
      {"a datagram behind the packet", DropReason::kMalformed,
       [](Bytes& frame) { Write16(frame, kTransport + 4, 8 + 301); }},
      {"a packet behind the frame", DropReason::kMalformed,
       [](Bytes& frame) { frame.erase(frame.end() - 40, frame.end()); }},
      {"no cookie", DropReason::kMalformed, set(kDhcpOptions - 1, 0)},
      {"an answer", DropReason::kMalformed, set(kDhcp, 2)},
      {"token ring", DropReason::kMalformed, set(kDhcp + 1, 6)},
      {"a long address", DropReason::kMalformed, set(kDhcp + 2, 16)},
      {"the MAC of another", DropReason::kMalformed, set(kDhcp + 28 + 5, 0x77)},
      {"a first fragment", DropReason::kSourceAddress, set(kIp + 6, 0x20)},
      {"a later fragment", DropReason::kSourceAddress, set(kIp + 7, 1)},
      {"to the gateway", DropReason::kSourceAddress,
       [](Bytes& frame) { Write32(frame, kIp + 16, kGateway.value); }},
      {"from another port", DropReason::kSourceAddress, set(kTransport + 1, 69)},
      {"another sender", DropReason::kSourceMac, set(11, 0x77)},
      {"VLAN", DropReason::kEtherType,
       [](Bytes& frame) {
         frame.insert(frame.begin() + 12, {0x81, 0x00, 0x00, 0x05});
       }},
  };
}

TEST_P(DhcpTest, NothingElseIsAnswered) {
  InLab([](Lab& lab) {
    const Guest guest = lab.GuestOf(1);
    for (const Bad& bad : BadQuestions()) {
      SCOPED_TRACE(bad.name);
      Bytes frame = DhcpFrame(QuestionOf(DhcpType::kDiscover));
      bad.spoil(frame);
      const std::uint64_t before = lab.Drops(1, bad.reason);
      ASSERT_TRUE(guest.Send(frame));
      EXPECT_EQ(lab.Drops(1, bad.reason), before + 1);
    }
    DhcpQuestion longest = QuestionOf(DhcpType::kDiscover);
    longest.message_bytes = 1473;
    const std::uint64_t before = lab.Drops(1, DropReason::kMalformed);
    ASSERT_TRUE(guest.Send(DhcpFrame(longest)));
    longest.message_bytes = 30'000;  // in pages
    ASSERT_TRUE(guest.Send(DhcpFrame(longest)));
    EXPECT_EQ(lab.Drops(1, DropReason::kMalformed), before + 2);
    EXPECT_EQ(lab.CountersOf(1).dhcp_answers, 0u);
    EXPECT_FALSE(AnswerOf(guest, kSoon));
  });
}

// Also where guests may reach each other.
TEST_P(DhcpTest, AGuestDoesNotAnswerOthers) {
  InLab([](Lab& lab) {
    for (const std::uint32_t number : {1u, 2u}) {
      ASSERT_TRUE(lab.links->SetPortIsolation(TapIndex(number), false).ok());
    }
    const Guest liar = lab.GuestOf(1);
    const Guest victim = lab.GuestOf(2);
    const auto has_port = [](std::uint16_t port) {
      return [port](const Bytes& f) {
        return f.size() > kTransport + 4 && f[kIp + 9] == IPPROTO_UDP &&
               Read16(f, kTransport + 2) == port;
      };
    };
    const auto shout = [&](Ipv4 source, std::uint16_t from, std::uint16_t to) {
      Bytes frame = Packet(kMac, source, {0xffffffff}, IPPROTO_UDP, Udp(from, to, 300));
      std::fill(frame.begin(), frame.begin() + 6, std::uint8_t{0xff});
      ASSERT_TRUE(liar.Send(frame));
    };
    shout(kInner, 67, 68);
    shout(kInner, 1067, 68);
    EXPECT_EQ(lab.Drops(1, DropReason::kDhcp), 2u);
    shout(kGateway, 67, 68);
    EXPECT_EQ(lab.Drops(1, DropReason::kSourceAddress), 1u);
    shout(kInner, 67, 69);  // or else silence would mean nothing
    EXPECT_TRUE(victim.Receive(has_port(69)));
    EXPECT_FALSE(victim.Receive(has_port(68), kSoon));
  });
}

TEST_P(DhcpTest, AFloodOfQuestionsIsAnsweredWithinTheTbf) {
  InLab([](Lab& lab) {
    constexpr drivers::Tbf kTbf{125'000, 4'000, 65'536};
    ASSERT_TRUE(lab.qdiscs->ChangeTbf(TapIndex(1), kTbf, drivers::Queue::kDrop).ok());
    const Guest guest = lab.GuestOf(1);
    const std::uint64_t bytes_before = lab.qdiscs->ObservePort(TapIndex(1))->root->counters.bytes;
    const auto start = std::chrono::steady_clock::now();
    const Bytes frame = DhcpFrame(QuestionOf(DhcpType::kDiscover));
    for (int i = 0; i < 1000; ++i) ASSERT_TRUE(guest.Send(frame));
    const auto root = *lab.qdiscs->ObservePort(TapIndex(1))->root;
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    const double allowed = 6'000 + 1.03 * 125'000 * elapsed.count();
    EXPECT_LE(static_cast<double>(root.counters.bytes - bytes_before), allowed);
    EXPECT_GE(root.counters.bytes, 2'000u);
    EXPECT_GT(root.counters.drops, 0u);
    EXPECT_LE(root.counters.backlog_bytes, 65'536u);
    EXPECT_EQ(lab.CountersOf(1).dhcp_answers, 1000u);
  });
}

}  // namespace
}  // namespace forkplane::traffic
