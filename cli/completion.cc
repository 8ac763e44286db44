// A script finds its place in the command line by walking over the words before the cursor (`/credentials/create`), and
// offers what the program's own description has at that place: commands, flags, or the values of the flag before. Each
// shell gets the same three tables in its own syntax.

#include "cli/completion.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace toolwire {
namespace {

// What can stand at one place of the command line: after `toolwire` (""), after `toolwire call` ("/call"), and so on.
struct Place {
  std::string path;
  const flags::Described& command;
};

void Collect(const flags::Described& command, const std::string& path, std::vector<Place>* places) {
  places->push_back({path, command});
  for (const flags::Described& one : command.commands) Collect(one, absl::StrCat(path, "/", one.name), places);
}

std::vector<Place> PlacesOf(const flags::Described& program) {
  std::vector<Place> places;
  Collect(program, "", &places);
  return places;
}

// In single quotes, for bash and zsh.
std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}
std::string FishQuoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

template <typename T>
std::string Names(const std::vector<T>& words) {
  return absl::StrJoin(words, " ", [](std::string* out, const T& one) { out->append(one.name); });
}

// Every path but the first, which is empty.
std::string Paths(const std::vector<Place>& places, const char* separator) {
  std::vector<std::string> paths;
  for (const Place& place : places) {
    if (!place.path.empty()) paths.push_back(place.path);
  }
  return absl::StrJoin(paths, separator);
}

// 'word:help' for zsh's _describe.
template <typename T>
std::string NamesAndHelp(const std::vector<T>& words) {
  return absl::StrJoin(
      words, " ", [](std::string* out, const T& one) { out->append(Quoted(absl::StrCat(one.name, ":", one.help))); });
}

}  // namespace

std::string BashCompletion(const flags::Described& program) {
  const std::vector<Place> places = PlacesOf(program);
  std::string script = absl::StrCat(
      "# bash completion for toolwire, made by `toolwire completion bash`.\n"
      "_toolwire() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} place= i\n"
      "  COMPREPLY=()\n"
      "  # bash takes --flag=value apart at the equals sign.\n"
      "  if [[ $current == = ]]; then\n"
      "    current=\n"
      "  elif [[ $before == = ]]; then\n"
      "    before=${COMP_WORDS[COMP_CWORD-2]}\n"
      "  fi\n"
      "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
      "    case $place/${COMP_WORDS[i]} in\n"
      "      ",
      Paths(places, "|"),
      ") place+=/${COMP_WORDS[i]} ;;\n"
      "    esac\n"
      "  done\n"
      "  local values=- commands= flags=\n"
      "  case \"$place $before\" in\n");
  for (const Place& place : places) {
    for (const flags::Described::Flag& flag : place.command.flags) {
      if (!flag.takes_value) continue;
      absl::StrAppend(&script, "    ", Quoted(absl::StrCat(place.path, " ", flag.name)),
                      ") values=", Quoted(absl::StrJoin(flag.choices, " ")), " ;;\n");
    }
  }
  script += "  esac\n  case $place in\n";
  for (const Place& place : places) {
    absl::StrAppend(&script, "    ", Quoted(place.path), ")\n      commands=", Quoted(Names(place.command.commands)),
                    "\n      flags=", Quoted(Names(place.command.flags)), " ;;\n");
  }
  script +=
      "  esac\n"
      "  if [[ $values != - ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$values\" -- \"$current\"))\n"
      "  elif [[ $current == -* ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$flags\" -- \"$current\"))\n"
      "  else\n"
      "    COMPREPLY=($(compgen -W \"$commands\" -- \"$current\"))\n"
      "  fi\n"
      "}\n"
      "complete -o default -F _toolwire toolwire\n";
  return script;
}

std::string ZshCompletion(const flags::Described& program) {
  const std::vector<Place> places = PlacesOf(program);
  std::string script = absl::StrCat(
      "#compdef toolwire\n"
      "# zsh completion for toolwire, made by `toolwire completion zsh`.\n"
      "_toolwire() {\n"
      "  local current=${words[CURRENT]} before=${words[CURRENT-1]} place= word\n"
      "  local -a commands flags\n"
      "  for word in ${words[2,CURRENT-1]}; do\n"
      "    case $place/$word in\n"
      "      (",
      Paths(places, "|"),
      ") place+=/$word ;;\n"
      "    esac\n"
      "  done\n"
      "  case \"$place $before\" in\n");
  for (const Place& place : places) {
    for (const flags::Described::Flag& flag : place.command.flags) {
      if (!flag.takes_value) continue;
      absl::StrAppend(&script, "    (", Quoted(absl::StrCat(place.path, " ", flag.name)), ") ",
                      flag.choices.empty() ? "_files" : "compadd -- " + absl::StrJoin(flag.choices, " "),
                      "; return ;;\n");
    }
  }
  script += "  esac\n  case $place in\n";
  for (const Place& place : places) {
    absl::StrAppend(&script, "    (", Quoted(place.path), ")\n      commands=(", NamesAndHelp(place.command.commands),
                    ")\n      flags=(", NamesAndHelp(place.command.flags), ") ;;\n");
  }
  script +=
      "  esac\n"
      "  if [[ $current == -* ]]; then\n"
      "    _describe flag flags\n"
      "  elif (( $#commands )); then\n"
      "    _describe command commands\n"
      "  else\n"
      "    _files\n"
      "  fi\n"
      "}\n"
      "if [[ $funcstack[1] == _toolwire ]]; then _toolwire \"$@\"; else compdef _toolwire toolwire; fi\n";
  return script;
}

std::string FishCompletion(const flags::Described& program) {
  const std::vector<Place> places = PlacesOf(program);
  std::string script = absl::StrCat(
      "# fish completion for toolwire, made by `toolwire completion fish`.\n"
      "function __toolwire_at\n"
      "  set -l place ''\n"
      "  set -l words (commandline -opc)\n"
      "  for word in $words[2..-1]\n"
      "    switch \"$place/$word\"\n"
      "      case ",
      Paths(places, " "),
      "\n"
      "        set place \"$place/$word\"\n"
      "    end\n"
      "  end\n"
      "  test \"$place\" = \"$argv[1]\"\n"
      "end\n");
  for (const Place& place : places) {
    const std::string line =
        absl::StrCat("complete -c toolwire -n ", FishQuoted(absl::StrCat("__toolwire_at '", place.path, "'")));
    for (const flags::Described& command : place.command.commands) {
      absl::StrAppend(&script, line, " -f -a ", command.name, " -d ", FishQuoted(command.help), "\n");
    }
    for (const flags::Described::Flag& flag : place.command.flags) {
      absl::StrAppend(
          &script, line, " -l ", flag.name.substr(2), " -d ", FishQuoted(flag.help), flag.takes_value ? " -r" : "",
          flag.choices.empty() ? "" : absl::StrCat(" -f -a ", FishQuoted(absl::StrJoin(flag.choices, " "))), "\n");
    }
  }
  return script;
}

}  // namespace toolwire
