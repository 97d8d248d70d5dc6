// The template holder as a program of its own, for tests.
#include "drivers/template_holder.h"

int main() { return forkplane::storage::TemplateHolderMain(); }
