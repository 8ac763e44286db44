// Both ends of a pair of sockets, one step at a time.
#include "common/tls/tls_stream.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "common/tls/openssl_pointers.h"
#include "tests/unit/tls/tls_fixture.h"

namespace toolwire {
namespace {

using Status = TlsStream::Status;

// OpenSSL itself as the peer, for what our client does not do.
struct RawPeer {
  RawPeer(SSL_CTX* context, int fd) : ssl(SSL_new(context), SSL_free) {
    SSL_set_fd(ssl.get(), fd);
    SSL_set_connect_state(ssl.get());
  }
  Status Handshake() {
    ERR_clear_error();
    const int returned = SSL_do_handshake(ssl.get());
    const int error = SSL_get_error(ssl.get(), returned);
    return returned == 1 ? Status::kDone : error == SSL_ERROR_WANT_READ ? Status::kWantsRead : Status::kFailed;
  }
  bool resumed() const { return SSL_session_reused(ssl.get()) == 1; }
  // With the ticket that has come. Without a shutdown OpenSSL would take it for a broken one.
  SSL_SESSION* TakeSession() {
    char byte = 0;
    EXPECT_EQ(SSL_read(ssl.get(), &byte, 1), -1) << "there are no data";
    SSL_set_shutdown(ssl.get(), SSL_SENT_SHUTDOWN);
    return SSL_get1_session(ssl.get());
  }

  std::unique_ptr<SSL, decltype(&SSL_free)> ssl;
};

class TlsStreamTest : public TlsFixture {
 protected:
  TlsStreamTest() {
    signal(SIGPIPE, SIG_IGN);
    NewSockets();
    WritePair(Make({"localhost", "127.0.0.1"}));
  }
  ~TlsStreamTest() override { CloseSockets(); }

  void NewSockets() {
    CloseSockets();
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds_), 0);
  }
  void CloseSockets() {
    for (int& fd : fds_) {
      if (fd >= 0) close(std::exchange(fd, -1));
    }
  }
  std::shared_ptr<const TlsContext> Context(const TlsOptions& options) {
    const auto files = TlsFiles::Load(options, clock_);
    EXPECT_TRUE(files.ok()) << files.status();
    return (*files)->Current();
  }
  void Start(const TlsOptions& server, const TlsOptions& client, const std::string& name) {
    server_ = TlsStream::Accept(*Context(server), fds_[0]);
    client_ = TlsStream::Connect(*Context(client), fds_[1], name);
  }
  // Steps of both until neither wants to go on; true if both are done.
  template <typename Client>
  bool Shake(Client* client) {
    Status at_client = Status::kWantsRead, at_server = Status::kWantsRead;
    const auto over = [](Status status) { return status != Status::kWantsRead && status != Status::kWantsWrite; };
    for (int i = 0; i < 20 && !(over(at_client) && over(at_server)); ++i) {
      if (!over(at_client)) at_client = client->Handshake();
      if (!over(at_server)) at_server = server_->Handshake();
    }
    return at_client == Status::kDone && at_server == Status::kDone;
  }
  bool Shake() { return Shake(client_.get()); }
  bool Connects(const std::string& name) {
    Start(ServerOptions(), ClientOptions(), name);
    return Shake();
  }
  static std::string ReadText(TlsStream* stream) {
    char bytes[100];
    const auto moved = stream->Read(bytes, sizeof bytes);
    return moved.status == Status::kDone ? std::string(bytes, moved.bytes) : "";
  }
  static Status ReadStatus(TlsStream* stream) {
    char bytes[100];
    return stream->Read(bytes, sizeof bytes).status;
  }
  OpensslPtr<SSL_CTX> RawContext() {
    OpensslPtr<SSL_CTX> context(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_CLIENT);
    return context;
  }
  // The session that the server's ticket gives a raw client.
  SSL_SESSION* SessionOf(const TlsOptions& server, SSL_CTX* raw, SSL_SESSION* resume, bool* resumed) {
    NewSockets();
    server_ = TlsStream::Accept(*Context(server), fds_[0]);
    RawPeer peer(raw, fds_[1]);
    if (resume != nullptr) SSL_set_session(peer.ssl.get(), resume);
    EXPECT_TRUE(Shake(&peer)) << server_->error();
    *resumed = peer.resumed();
    EXPECT_EQ(*resumed, server_->resumed());
    return peer.TakeSession();
  }
  bool Resumes(const TlsOptions& first, const TlsOptions& second) {
    const OpensslPtr<SSL_CTX> raw = RawContext();
    bool resumed = false;
    SSL_SESSION* const session = SessionOf(first, raw.get(), nullptr, &resumed);
    EXPECT_FALSE(resumed);
    SSL_SESSION_free(SessionOf(second, raw.get(), session, &resumed));
    SSL_SESSION_free(session);
    return resumed;
  }

  int fds_[2] = {-1, -1};
  std::unique_ptr<TlsStream> server_, client_;
};

TEST_F(TlsStreamTest, BytesArriveBothWays) {
  ASSERT_TRUE(Connects("localhost"));
  ASSERT_EQ(client_->Write("ping", 4).status, Status::kDone);
  EXPECT_EQ(ReadText(server_.get()), "ping");
  ASSERT_EQ(server_->Write("pong", 4).status, Status::kDone);
  EXPECT_EQ(ReadText(client_.get()), "pong");
  EXPECT_EQ(ReadStatus(client_.get()), Status::kWantsRead);
  EXPECT_NEAR(static_cast<double>(client_->peer_expires_at().value_or(0)), static_cast<double>(Now() + 100 * kHour),
              60);
  EXPECT_FALSE(server_->peer_expires_at()) << "the client has shown no certificate";
}

TEST_F(TlsStreamTest, RecordThatWasReadInPartIsBuffered) {
  ASSERT_TRUE(Connects("localhost"));
  client_->Write(std::string(150, 'x').data(), 150);
  EXPECT_EQ(ReadText(server_.get()).size(), 100u);
  EXPECT_TRUE(server_->HasBuffered());
  EXPECT_EQ(ReadText(server_.get()).size(), 50u);
  EXPECT_FALSE(server_->HasBuffered());
}

TEST_F(TlsStreamTest, WriteGoesOnFromAnotherPlaceOnceThePeerReads) {
  ASSERT_TRUE(Connects("localhost"));
  std::string data(size_t{1} << 20, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 31);
  std::string got;
  size_t sent = 0;
  bool waited = false;
  while (got.size() < data.size()) {
    while (sent < data.size()) {
      const std::string moved_data = data.substr(sent, 20'000);
      const auto moved = client_->Write(moved_data.data(), moved_data.size());
      waited |= moved.status == Status::kWantsWrite;
      if (moved.status != Status::kDone) break;
      ASSERT_LE(moved.bytes, 16384u);
      sent += moved.bytes;
    }
    for (std::string part = ReadText(server_.get()); !part.empty(); part = ReadText(server_.get())) got += part;
  }
  EXPECT_TRUE(waited);
  EXPECT_EQ(got, data);
}

TEST_F(TlsStreamTest, CloseNotifyIsReadAfterWhatWasWrittenBefore) {
  ASSERT_TRUE(Connects("localhost"));
  server_->Write("bye", 3);
  server_->CloseNotify();
  EXPECT_EQ(ReadText(client_.get()), "bye");
  EXPECT_EQ(ReadStatus(client_.get()), Status::kClosed);
}

TEST_F(TlsStreamTest, ConnectionThatEndsWithoutAWordIsClosedToo) {
  ASSERT_TRUE(Connects("localhost"));
  close(std::exchange(fds_[1], -1));
  EXPECT_EQ(ReadStatus(server_.get()), Status::kClosed);
}

TEST_F(TlsStreamTest, EachWrongCertificateHasItsOwnSentence) {
  const auto why = [this](const CertificateAndKey& pair, const std::string& name) {
    NewSockets();
    WritePair(pair);
    EXPECT_FALSE(Connects(name));
    EXPECT_EQ(client_->failure(), TlsFailure::kPeerCertificate);
    EXPECT_EQ(server_->failure(), TlsFailure::kPeerRefuses) << server_->error();
    return client_->error();
  };
  const CertificateAndKey good = Make({"localhost", "127.0.0.1"});
  EXPECT_EQ(why(good, "example.com"), "the server's certificate does not name example.com");
  EXPECT_EQ(why(good, "127.0.0.2"), "the server's certificate does not name 127.0.0.2");
  EXPECT_EQ(why(good, "test"), "the server's certificate does not name test") << "its common name counts for nothing";
  CertificateRequest request;
  request.names = {"localhost"};
  request.not_before = Now() - kHour;
  request.not_after = Now() + kHour;
  EXPECT_EQ(why(*MakeCertificate(NewCa(), request), "localhost"),
            "the server's certificate is of a CA that is not in " + File("ca"));
}

// A server does not start with such files, but its certificate may expire while it runs.
TEST_F(TlsStreamTest, CertificateThatExpiresWhileTheServerRunsHasItsOwnSentence) {
  class AtNoon final : public Clock {
   public:
    explicit AtNoon(int64_t wall) : wall_(wall) {}
    MonoTime Now() const override { return {}; }
    int64_t WallMs() const override { return wall_ * 1000; }

   private:
    const int64_t wall_;
  };
  const auto why = [this](int64_t from, int64_t until) {
    NewSockets();
    WritePair(Make({"localhost"}, from, until));
    const auto files = TlsFiles::Load(ServerOptions(), AtNoon(Now() + (from + until) / 2));
    server_ = TlsStream::Accept(*(*files)->Current(), fds_[0]);
    client_ = TlsStream::Connect(*Context(ClientOptions()), fds_[1], "localhost");
    EXPECT_FALSE(Shake());
    return client_->error();
  };
  EXPECT_EQ(why(-3 * kHour, -kHour), "the server's certificate has expired");
  EXPECT_EQ(why(kHour, 3 * kHour), "the server's certificate is not valid yet; is this machine's clock right?");
}

TEST_F(TlsStreamTest, AddressIsVerifiedAsAnAddress) { EXPECT_TRUE(Connects("127.0.0.1")) << client_->error(); }

TEST_F(TlsStreamTest, CompleteNameIsVerifiedWithoutTheDotAtItsEnd) {
  EXPECT_TRUE(Connects("localhost.")) << client_->error();
}

TEST_F(TlsStreamTest, ServerWithACaTakesOnlyClientsThatItSigned) {
  TlsOptions server = ServerOptions();
  server.ca_file = File("ca");
  server.peer_name = kControlRoleName;
  const auto verdict = [&](const TlsOptions& client) {
    NewSockets();
    Start(server, client, "localhost");
    return Shake() ? "" : server_->error();
  };
  EXPECT_EQ(verdict(ClientOptions()), "the client's certificate is missing");
  TlsOptions client = ClientOptions();
  client.certificate_file = File("client.crt");
  client.key_file = File("client.key");
  WritePair(Make({kEdgeRoleName}), "client");
  EXPECT_EQ(verdict(client), "the client's certificate does not name control.toolwire.internal");
  CertificateRequest request;
  request.names = {kControlRoleName};
  request.is_client = true;
  request.not_before = Now() - kHour;
  request.not_after = Now() + kHour;
  WritePair(*MakeCertificate(NewCa(), request), "client");
  EXPECT_EQ(verdict(client), "the client's certificate is of a CA that is not ours");
  request.is_client = false;
  WritePair(*MakeCertificate(ca_, request), "client");
  EXPECT_EQ(verdict(client), "the client's certificate is not for clients: its extended key usage");
  WritePair(Make({kControlRoleName}), "client");
  EXPECT_EQ(verdict(client), "");
}

TEST_F(TlsStreamTest, PeerNameOfTheOptionsCountsInsteadOfTheAddress) {
  WritePair(Make({kEdgeRoleName}));
  TlsOptions client = ClientOptions();
  client.peer_name = kEdgeRoleName;
  Start(ServerOptions(), client, "10.0.0.1");
  EXPECT_TRUE(Shake()) << client_->error();
}

TEST_F(TlsStreamTest, StarIsNoPeerNameOfTheOptions) {
  const auto verdict = [&](const std::string& name) {
    WritePair(Make({name}));
    TlsOptions client = ClientOptions();
    client.peer_name = kEdgeRoleName;
    NewSockets();
    Start(ServerOptions(), client, "10.0.0.1");
    return Shake() ? "" : client_->error();
  };
  EXPECT_EQ(verdict("*.toolwire.internal"), "the server's certificate does not name edge.toolwire.internal");
  EXPECT_EQ(verdict(kEdgeRoleName), "");
  // Of a host it names all.
  WritePair(Make({"*.example.com"}));
  NewSockets();
  EXPECT_TRUE(Connects("edge.example.com")) << client_->error();
}

TEST_F(TlsStreamTest, BytesThatAreNoTlsAreSaidToBeNone) {
  server_ = TlsStream::Accept(*Context(ServerOptions()), fds_[0]);
  ASSERT_EQ(write(fds_[1], "GET / HTTP/1.1\r\n\r\n", 18), 18);
  EXPECT_EQ(server_->Handshake(), Status::kFailed);
  EXPECT_EQ(server_->failure(), TlsFailure::kNotTls);
  client_ = TlsStream::Connect(*Context(ClientOptions()), fds_[1], "localhost");
  client_->Handshake();
  ASSERT_EQ(write(fds_[0], "HTTP/1.1 400 Bad\r\n\r\n", 20), 20);
  while (client_->Handshake() == Status::kWantsRead) continue;
  EXPECT_EQ(client_->error(), "the other side does not speak TLS");
}

TEST_F(TlsStreamTest, ConnectionThatEndsInTheHandshakeIsNoProtocolError) {
  server_ = TlsStream::Accept(*Context(ServerOptions()), fds_[0]);
  EXPECT_EQ(server_->Handshake(), Status::kWantsRead);
  close(std::exchange(fds_[1], -1));
  EXPECT_EQ(server_->Handshake(), Status::kFailed);
  EXPECT_EQ(server_->failure(), TlsFailure::kEnded);
}

TEST_F(TlsStreamTest, OldVersionsAreRefused) {
  const OpensslPtr<SSL_CTX> raw = RawContext();
  SSL_CTX_set_security_level(raw.get(), 0);
  SSL_CTX_set_min_proto_version(raw.get(), TLS1_VERSION);
  SSL_CTX_set_max_proto_version(raw.get(), TLS1_1_VERSION);
  server_ = TlsStream::Accept(*Context(ServerOptions()), fds_[0]);
  RawPeer peer(raw.get(), fds_[1]);
  EXPECT_FALSE(Shake(&peer));
  EXPECT_EQ(server_->failure(), TlsFailure::kProtocol);
  EXPECT_EQ(server_->error(), "unsupported protocol");
}

TEST_F(TlsStreamTest, AlpnTakesOurProtocolAndRefusesOthers) {
  TlsOptions server = ServerOptions();
  server.protocol = "http/1.1";
  const auto connects = [&](const std::string& offered) {
    NewSockets();
    const OpensslPtr<SSL_CTX> raw = RawContext();
    SSL_CTX_set_alpn_protos(raw.get(), reinterpret_cast<const unsigned char*>(offered.data()),
                            static_cast<unsigned>(offered.size()));
    server_ = TlsStream::Accept(*Context(server), fds_[0]);
    RawPeer peer(raw.get(), fds_[1]);
    return Shake(&peer);
  };
  EXPECT_TRUE(connects("\x08http/1.1"));
  EXPECT_TRUE(connects("\x02h2\x08http/1.1"));
  EXPECT_TRUE(connects("")) << "who does not speak ALPN";
  EXPECT_FALSE(connects("\x02h2"));
  EXPECT_EQ(server_->error(), "the other side does not offer the protocol that is spoken here (ALPN)");
  server.protocol_required = true;
  EXPECT_TRUE(connects("\x08http/1.1"));
  EXPECT_FALSE(connects(""));
  EXPECT_EQ(server_->failure(), TlsFailure::kProtocol);
  EXPECT_EQ(server_->error(), "the other side does not offer the protocol that is spoken here (ALPN)");
}

TEST_F(TlsStreamTest, ServerThatAsksForCertificatesResumesNothing) {
  TlsOptions server = ServerOptions();
  server.ca_file = File("ca");
  WritePair(Make({}), "client");
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const OpensslPtr<SSL_CTX> raw = RawContext();
    SSL_CTX_set_max_proto_version(raw.get(), version);
    ASSERT_EQ(SSL_CTX_use_certificate_chain_file(raw.get(), File("client.crt").c_str()), 1);
    ASSERT_EQ(SSL_CTX_use_PrivateKey_file(raw.get(), File("client.key").c_str(), SSL_FILETYPE_PEM), 1);
    bool resumed = false;
    SSL_SESSION* const session = SessionOf(server, raw.get(), nullptr, &resumed);
    EXPECT_EQ(SSL_SESSION_is_resumable(session), 0) << version;
    SSL_SESSION_free(SessionOf(server, raw.get(), session, &resumed));
    EXPECT_FALSE(resumed) << version;
    SSL_SESSION_free(session);
  }
}

TEST_F(TlsStreamTest, TicketResumesAtWhoHasTheSameKeysAlsoAfterARotation) {
  TlsOptions one = ServerOptions(), other = ServerOptions();
  const std::string old_key(80, 'a'), new_key = std::string(80, 'b');
  one.ticket_keys_file = File("one");
  other.ticket_keys_file = File("other");
  Write("one", old_key);
  Write("other", new_key + old_key);
  EXPECT_TRUE(Resumes(one, one));
  EXPECT_TRUE(Resumes(one, other));
  EXPECT_FALSE(Resumes(other, one)) << "it does not have the newest key yet";
  EXPECT_FALSE(Resumes(ServerOptions(), ServerOptions())) << "each has a key of its own";
}

TEST_F(TlsStreamTest, TicketOffersNoEarlyData) {
  const OpensslPtr<SSL_CTX> raw = RawContext();
  bool resumed = false;
  SSL_SESSION* const session = SessionOf(ServerOptions(), raw.get(), nullptr, &resumed);
  EXPECT_EQ(SSL_SESSION_has_ticket(session), 1);
  EXPECT_EQ(SSL_SESSION_get_max_early_data(session), 0U);
  SSL_SESSION_free(session);
}

TEST_F(TlsStreamTest, TicketKeysOfAProcessOutliveAReload) {
  const auto files = *TlsFiles::Load(ServerOptions(), clock_);
  const OpensslPtr<SSL_CTX> raw = RawContext();
  SSL_SESSION* session = nullptr;
  for (const bool again : {false, true, true}) {
    NewSockets();
    server_ = TlsStream::Accept(*files->Current(), fds_[0]);
    RawPeer peer(raw.get(), fds_[1]);
    if (session != nullptr) SSL_set_session(peer.ssl.get(), session);
    ASSERT_TRUE(Shake(&peer));
    EXPECT_EQ(peer.resumed(), again) << "each connection brings a new ticket";
    SSL_SESSION_free(std::exchange(session, peer.TakeSession()));
    WritePair(Make({"localhost"}));
    files->Look(/*now=*/true);
  }
  SSL_SESSION_free(session);
  EXPECT_EQ(files->counters().reloads.value(), 3u);
}

TEST_F(TlsStreamTest, KeyUpdatesAreBounded) {
  const OpensslPtr<SSL_CTX> raw = RawContext();
  server_ = TlsStream::Accept(*Context(ServerOptions()), fds_[0]);
  RawPeer peer(raw.get(), fds_[1]);
  ASSERT_TRUE(Shake(&peer));
  const auto update = [&] {
    SSL_key_update(peer.ssl.get(), SSL_KEY_UPDATE_NOT_REQUESTED);
    SSL_do_handshake(peer.ssl.get());
  };
  for (int i = 0; i < 32; ++i) {
    update();
    SSL_write(peer.ssl.get(), "x", 1);
    std::string got;
    for (int steps = 0; steps < 4 && got.empty(); ++steps) got = ReadText(server_.get());
    ASSERT_EQ(got, "x") << i << " " << server_->error();
  }
  for (int i = 0; i < 200; ++i) update();
  Status status = Status::kWantsRead;
  for (int steps = 0; steps < 4 && status == Status::kWantsRead; ++steps) status = ReadStatus(server_.get());
  EXPECT_EQ(status, Status::kFailed);
  EXPECT_EQ(server_->failure(), TlsFailure::kTooMuch);
}

// As libraries send them that count their records.
TEST_F(TlsStreamTest, KeyUpdatesAmongMuchDataAreNoneTooMany) {
  const OpensslPtr<SSL_CTX> raw = RawContext();
  server_ = TlsStream::Accept(*Context(ServerOptions()), fds_[0]);
  RawPeer peer(raw.get(), fds_[1]);
  ASSERT_TRUE(Shake(&peer));
  const auto update = [&] {
    SSL_key_update(peer.ssl.get(), SSL_KEY_UPDATE_NOT_REQUESTED);
    SSL_do_handshake(peer.ssl.get());
  };
  const auto say = [&] {
    SSL_write(peer.ssl.get(), "x", 1);
    std::string got;
    for (int steps = 0; steps < 4 && got.empty(); ++steps) got = ReadText(server_.get());
    return got == "x";
  };
  for (int i = 0; i < 32; ++i) update();
  for (int i = 0; i < 65536; ++i) ASSERT_TRUE(say()) << i << " " << server_->error();
  update();
  EXPECT_TRUE(say()) << server_->error();
  update();
  EXPECT_FALSE(say());
  EXPECT_EQ(server_->failure(), TlsFailure::kTooMuch);
}

TEST_F(TlsStreamTest, WhatThePeerSaidLastIsReadThoughAWriteFailedBefore) {
  ASSERT_TRUE(Connects("localhost"));
  ASSERT_EQ(client_->Write("last words", 10).status, Status::kDone);
  close(std::exchange(fds_[1], -1));
  EXPECT_EQ(server_->Write("too late", 8).status, Status::kClosed);
  EXPECT_EQ(server_->Write("too late", 8).status, Status::kFailed);
  EXPECT_EQ(ReadText(server_.get()), "last words");
  EXPECT_EQ(ReadStatus(server_.get()), Status::kClosed);
}

TEST_F(TlsStreamTest, RenegotiationIsRefused) {
  const OpensslPtr<SSL_CTX> raw = RawContext();
  SSL_CTX_set_max_proto_version(raw.get(), TLS1_2_VERSION);
  server_ = TlsStream::Accept(*Context(ServerOptions()), fds_[0]);
  RawPeer peer(raw.get(), fds_[1]);
  ASSERT_TRUE(Shake(&peer));
  ASSERT_EQ(SSL_renegotiate(peer.ssl.get()), 1);
  peer.Handshake();
  EXPECT_EQ(ReadStatus(server_.get()), Status::kWantsRead);
  EXPECT_EQ(peer.Handshake(), Status::kFailed) << "it gets `no renegotiation`";
}

}  // namespace
}  // namespace toolwire
