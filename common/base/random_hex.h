// Random text for ids and secrets.
#ifndef TOOLWIRE_COMMON_BASE_RANDOM_HEX_H_
#define TOOLWIRE_COMMON_BASE_RANDOM_HEX_H_

#include <cstddef>
#include <string>

namespace toolwire {

// So many bytes of the system's randomness, as two hex digits each.
std::string RandomHex(size_t bytes);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_BASE_RANDOM_HEX_H_
