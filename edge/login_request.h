// What an agent presents in its upgrade request, without I/O.
#ifndef TOOLWIRE_EDGE_LOGIN_REQUEST_H_
#define TOOLWIRE_EDGE_LOGIN_REQUEST_H_

#include <optional>
#include <string>
#include <string_view>

#include "common/store/store.h"

namespace toolwire {

// Reads the credentials from the request's target (`/?userId=…&secret=…`, percent-decoded, `+` is a space) and its
// Authorization header (`Bearer <secret>` beside `userId` in the query, or `Basic <userId:secret>`), which is
// preferred because targets get logged. nullopt: some are missing or empty, or cannot be decoded. Whether the user id
// is valid is for CheckUserId.
std::optional<CredentialCheck> ParseLoginRequest(std::string_view target, std::string_view authorization);

}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_LOGIN_REQUEST_H_
