// Schemas of OpenAPI documents: the kinds as their definitions describe them, and the few metav1
// types they refer to.
#pragma once

#include <string>

#include "crd/json.h"
#include "crd/resource_type.h"

namespace forkplane::apiserver {

enum class OpenApiVersion : std::uint8_t { kV2, kV3 };

// "dev.forkplane.v1alpha1.VirtualMachine": reversed group, version, kind.
std::string SchemaName(const crd::ResourceType& type, std::string_view kind);
// "#/definitions/NAME" or "#/components/schemas/NAME".
crd::Json RefTo(std::string_view name, OpenApiVersion version);

// Adds the kind and its list under their names, and what they refer to.
void AddTypeSchemas(const crd::ResourceType& type, OpenApiVersion version, crd::Json& schemas);
// ObjectMeta, ListMeta, Scale and so on; always the same.
void AddMetaSchemas(OpenApiVersion version, crd::Json& schemas);

inline constexpr std::string_view kObjectMetaSchema =
    "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
inline constexpr std::string_view kScaleSchema = "io.k8s.api.autoscaling.v1.Scale";

}  // namespace forkplane::apiserver
