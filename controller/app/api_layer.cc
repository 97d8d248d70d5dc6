#include "controller/app/api_layer.h"

#include "controller/apiserver/http/pki.h"
#include "controller/app/descriptors.h"

namespace forkplane::app {
namespace {

// Whoever reaches the metrics listener may ask it; it needs little, and reads no body.
constexpr apiserver::HttpBudget kMetricsBudget{.head_bytes = std::size_t{16} * 1024,
                                               .body_bytes = 0};
constexpr std::size_t kMetricsConnectionsMax = 128;

}  // namespace

Result<std::unique_ptr<ApiLayer>> ApiLayer::Open(const Options& options, Clock& clock, Rng& rng,
                                                 metrics::Registry& metrics,
                                                 const WrapLog& wrap_log) {
  std::unique_ptr<ApiLayer> layer(new ApiLayer(options, clock, metrics));
  ASSIGN_OR_RETURN(layer->types_, crd::NewTypeRegistry());
  // A store that is made anew starts above every revision an earlier one can have used (fewer than
  // a million writes a second), or clients that resume would see revisions go back.
  const auto now =
      std::chrono::duration_cast<std::chrono::microseconds>(clock.WallNow().time_since_epoch());
  ASSIGN_OR_RETURN(auto log,
                   store::OpenSqliteLog({.path = options.state_dir + "/objects.db",
                                         .first = static_cast<store::Revision>(now.count()),
                                         .reserve_path = options.state_dir + "/revisions"},
                                        rng));
  if (wrap_log) log = wrap_log(std::move(log));
  ASSIGN_OR_RETURN(layer->objects_,
                   store::LocalObjectStore::Open(std::move(log), {.types = layer->types_.get()},
                                                 clock, rng, metrics));
  return layer;
}

ApiLayer::~ApiLayer() { Stop(); }

Status ApiLayer::Serve(apiserver::DebugSource& debug, std::vector<apiserver::HealthCheck> checks,
                       std::function<void()> before_scrape, apiserver::Tell tell) {
  ASSIGN_OR_RETURN(const std::chrono::seconds event_ttl, ParseEventTtl(options_.event_ttl));
  background_ =
      std::make_unique<apiserver::Background>(apiserver::BackgroundOptions{.store = *objects_,
                                                                           .registry = *types_,
                                                                           .clock = clock_,
                                                                           .metrics = metrics_,
                                                                           .tell = std::move(tell),
                                                                           .event_ttl = event_ttl});
  RETURN_IF_ERROR(background_->Start());
  const DescriptorBudget descriptors = CurrentDescriptorBudget();
  metrics_.AddGauge("forkplane_descriptors_max", "File descriptors this process may hold.")
      .Set(static_cast<double>(descriptors.limit));
  api_ = std::make_unique<apiserver::ApiServer>(
      apiserver::ApiServerOptions{.store = *objects_,
                                  .registry = *types_,
                                  .clock = clock_,
                                  .metrics = metrics_,
                                  .debug = &debug,
                                  .checks = std::move(checks),
                                  .watches_max = descriptors.watches_max});
  RETURN_IF_ERROR(ServeApi());
  return ServeMetrics(std::move(before_scrape));
}

Status ApiLayer::ServeApi() {
  const std::string pki = options_.state_dir + "/pki";
  ASSIGN_OR_RETURN(const apiserver::TlsFiles files,
                   apiserver::EnsurePki(pki, {options_.host_name}, clock_));
  ASSIGN_OR_RETURN(auto tls, apiserver::TlsContext::Open(files));
  ASSIGN_OR_RETURN(api_port_, apiserver::HttpServer::Start(
                                  {.name = "api",
                                   .address = options_.listen,
                                   .tls = std::move(tls),
                                   .connections_max = CurrentDescriptorBudget().connections_max,
                                   .registry = &metrics_},
                                  *api_));
  // kubectl on this host reaches us at the loopback address whatever we listen on.
  const std::string host = options_.listen.substr(0, options_.listen.rfind(':'));
  const bool any = host.empty() || host == "0.0.0.0" || host == "[::]";
  url_ = fmt::format("https://{}:{}", any ? "127.0.0.1" : host, api_port_->port());
  return apiserver::WriteKubeconfig(pki, url_, options_.state_dir + "/kubeconfig");
}

Status ApiLayer::ServeMetrics(std::function<void()> before_scrape) {
  if (options_.metrics_listen.empty()) return OkStatus();
  metrics_handler_ =
      std::make_unique<apiserver::MetricsHandler>(metrics_, std::move(before_scrape));
  ASSIGN_OR_RETURN(metrics_port_,
                   apiserver::HttpServer::Start({.name = "metrics",
                                                 .address = options_.metrics_listen,
                                                 .connections_max = kMetricsConnectionsMax,
                                                 .budget = kMetricsBudget,
                                                 .registry = &metrics_},
                                                *metrics_handler_));
  return OkStatus();
}

void ApiLayer::Stop() {
  if (metrics_port_) metrics_port_->Stop();
  if (api_port_) api_port_->Stop();
  if (background_) background_->Stop();
}

}  // namespace forkplane::app
