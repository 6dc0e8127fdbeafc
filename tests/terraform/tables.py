"""Tables of the documentation that are made of what Terraform and the binaries say of themselves."""

import configuration
import interfaces

DEPLOYMENT = interfaces.REPOSITORY / "docs" / "deployment.md"
README = configuration.ROOT / "README.md"

BEGIN = "<!-- Made by scripts/check-terraform --update. -->\n"
END = "<!-- The end of what is made. -->\n"

# Where the data are and how they are reached is the same for every program, and has a table of its own.
OF_STORES = ("AWS_", "AZURE_", "GOOGLE_", "OBJECT_STORE_", "INFLUXDB3_OBJECT_STORE", "INFLUXDB3_DB_DIR")
OF_LAMBDA = "AWS_LAMBDA_"


def cell(text):
    """A text in a table."""
    return " ".join(text.replace("\\n", " ").split()).replace("|", "\\|")


def of_environment(functions):
    """The variables of the functions' environments, of interfaces by function."""
    rows = {}
    for function, interface in functions.items():
        for variable in interface.documented:
            name = variable["name"]
            if name.startswith(OF_LAMBDA) or not name.startswith(OF_STORES):
                rows.setdefault(name, (variable, []))[1].append(function)
    lines = ["| variable | functions | default | what |", "|---|---|---|---|"]
    for name, (variable, readers) in sorted(rows.items()):
        whom = "all" if len(readers) == len(functions) else ", ".join(readers)
        default = f"`{variable['default']}`" if variable["default"] else ""
        lines.append(f"| `{name}` | {whom} | {default} | {cell(variable['about'])} |")
    return "\n".join(lines) + "\n"


def of_terraform():
    """The variables and outputs of the configuration."""
    lines = ["| variable | what |", "|---|---|"]
    for block in configuration.parse(configuration.ROOT / "variables.tf")["variable"]:
        for name, body in block.items():
            about = cell(configuration.heredoc(body["description"]))
            lines.append(f"| `{name}`{'' if 'default' in body else ', needed'} | {about} |")
    lines += ["", "| output | what |", "|---|---|"]
    for block in configuration.parse(configuration.ROOT / "outputs.tf")["output"]:
        for name, body in block.items():
            lines.append(f"| `{name}` | {cell(body['description'])} |")
    return "\n".join(lines) + "\n"


def kept(page):
    """The table that a page has."""
    return page.read_text().split(BEGIN)[1].split(END)[0]


def write(page, table):
    """Puts a table into a page."""
    before, rest = page.read_text().split(BEGIN)
    page.write_text(before + BEGIN + table + END + rest.split(END)[1])
