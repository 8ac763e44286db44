// The variables from which servers are configured, as they will read them.
#ifndef TOOLWIRE_CLI_DOCTOR_DOCTOR_ENVIRONMENT_H_
#define TOOLWIRE_CLI_DOCTOR_DOCTOR_ENVIRONMENT_H_

#include <string>
#include <vector>

#include "cli/doctor/doctor_finding.h"

namespace toolwire {

// What an edge and a control would refuse, or pass over, of this process's environment, each thing that is wrong.
// `remarks` and `problems` are those on the doctor's own command line and variables. Files that variables name are
// read. Call before threads are started: variables are tidied as servers do it.
Findings CheckEnvironment(const std::vector<std::string>& remarks, const std::vector<std::string>& problems);

}  // namespace toolwire

#endif  // TOOLWIRE_CLI_DOCTOR_DOCTOR_ENVIRONMENT_H_
