// meta.k8s.io Tables: what `kubectl get` prints. Cells are made here, ready for the eye.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controller/apiserver/rest/jsonpath.h"
#include "controller/base/clock.h"
#include "controller/store/object.h"
#include "crd/resource_type.h"

namespace forkplane::apiserver {

enum class IncludeObject : std::uint8_t { kMetadata, kNone, kObject };

// The columns of one type, compiled. A path outside the JSONPath subset gives empty cells.
class TableColumns {
 public:
  explicit TableColumns(const crd::ResourceType& type);

  // The array columnDefinitions as JSON text.
  std::string DefinitionsText() const;
  // The array of cells, one per column, as JSON text; a missing value is null. Dates are ages at
  // `now`.
  std::string CellsText(const crd::Json& object, WallTime now) const;

 private:
  struct Column {
    crd::PrinterColumn definition;
    std::vector<JsonPath> paths;  // several: the first that leads somewhere
  };
  crd::Json Cell(const Column& column, const crd::Json& object, WallTime now) const;
  // What the first of the column's paths that leads somewhere leads to; null: none does.
  static const crd::Json* First(const Column& column, const crd::Json& object);

  bool name_first_ = true;
  bool custom_ = true;  // absent text is null; upstream prints built-ins from Go, where it is ""
  std::vector<Column> columns_;
};

// {"kind":"PartialObjectMetadata",...} of an object.
std::string PartialMetadataText(const crd::Json& object, std::string_view meta_version);

}  // namespace forkplane::apiserver
