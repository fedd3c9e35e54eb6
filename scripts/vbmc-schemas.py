#!/usr/bin/env python3
"""Makes schema files for redfish-service-validator where dmtf.org cannot be reached.

The validator reads CSDL. The DMTF's definitions are had here from two PyPI
packages that carry them in other forms:

  oneview-redfish-toolkit   the DMTF's JSON Schema files of 2018 (nested objects, nullability, what is required)
  mirastack-redfish-mcp     an index of release 2026.1 (top-level properties, enumerations, URIs, actions, methods)

What neither has and the virtual BMC uses stands in SUPPLEMENT, by hand.

usage: vbmc-schemas.py ONEVIEW_SCHEMAS REDFISH_INDEX_JSON_GZ METADATA_XML OUT
"""
import glob
import gzip
import json
import os
import re
import sys
from xml.sax.saxutils import quoteattr

JSON_SCHEMAS, INDEX, METADATA, OUT = sys.argv[1:5]
EDMX = 'xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"'
EDM = 'xmlns="http://docs.oasis-open.org/odata/ns/edm"'

# (type, object): properties added after 2018. Cross-read with DSP0268 2024.4.
SUPPLEMENT = {
    ("ComputerSystem", "Boot"): {"HttpBootUri": {"type": ["string", "null"], "readonly": False}},
    ("ComputerSystem", "ComputerSystem"): {
        "SerialConsole": {
            "type": "object",
            "properties": {
                "MaxConcurrentSessions": {"type": "integer", "minimum": 1, "readonly": True},
                "IPMI": {
                    "type": "object",
                    "properties": {
                        "ServiceEnabled": {"type": "boolean", "readonly": False},
                        "Port": {"type": "integer", "minimum": 1, "readonly": False},
                        "SharedWithManagerCLI": {"type": "boolean", "readonly": True},
                    },
                },
            },
        }
    },
    ("Power", "PowerSupply"): {"PowerInputWatts": {"type": ["number", "null"], "readonly": True}},
}
# Links whose target the index does not name.
LINKS = {("Chassis", "Sensors"): "SensorCollection.SensorCollection"}
# JSON Schema does not say what is expanded (OData.AutoExpand in CSDL).
EXPANDED = {("LogEntryCollection", "Members")}

index = json.load(gzip.open(INDEX))
files = {}


def load(name):
    if name not in files:
        path = os.path.join(JSON_SCHEMAS, name)
        files[name] = json.load(open(path)) if os.path.exists(path) else None
    return files[name]


def newest(kind):
    found = glob.glob(os.path.join(JSON_SCHEMAS, kind + ".v*.json"))
    key = lambda path: tuple(map(int, re.search(r"\.v(\d+)_(\d+)_(\d+)\.json", path).groups()))
    return os.path.basename(max(found, key=key)) if found else None


class Schemas:
    """Namespaces with their types, filled as references are followed."""

    def __init__(self):
        self.namespaces = {}
        self.notes = []

    def put(self, namespace, name, xml):
        self.namespaces.setdefault(namespace, {})[name] = xml

    def has(self, namespace, name):
        return name in self.namespaces.get(namespace, {})


schemas = Schemas()


def resolve(ref, file, namespace):
    """(type name in CSDL, is it a link)."""
    place, pointer = ref.split("#")
    name = pointer.split("/")[-1]
    target_file = os.path.basename(place) if place else file
    kind = target_file.split(".")[0]
    version = (re.findall(r"\.(v\d+_\d+_\d+)\.json", target_file) or [None])[0]
    if kind in ["odata", "redfish-schema", "redfish-error"]:
        return ("Edm.String", False) if name != "count" else ("Edm.Int64", False)
    document = load(target_file)
    definition = (document or {}).get("definitions", {}).get(name)
    if document is None and newest(kind) and not name.endswith("Collection"):
        # The package has the versions of the file, and not the file that chooses among them.
        target_file = newest(kind)
        definition = load(target_file)["definitions"].get(name)
        version = re.search(r"\.(v\d+_\d+_\d+)\.json", target_file).group(1)
    if definition is None:
        # An unversioned file that 2018's pack did not have in this package: a link to a resource.
        return f"{kind}.{name}", True
    choices = definition.get("anyOf", [])
    if any("idRef" in choice.get("$ref", "") for choice in choices):
        return f"{kind}.{name}", True
    if choices:
        versioned = [choice["$ref"] for choice in choices if "$ref" in choice]
        return resolve(versioned[-1], target_file, None)
    space = namespace if not place else kind + (f".{version}" if version else "")
    if not schemas.has(space, name):
        schemas.put(space, name, "")
        schemas.put(space, name, write_type(kind, space, name, definition, target_file))
    return f"{space}.{name}", False


def write_type(kind, namespace, name, definition, file):
    if "enum" in definition:
        deprecated = definition.get("enumDeprecated", {})
        members = "".join(
            f"<Member Name={quoteattr(value)}>{revision(value in deprecated)}</Member>" for value in definition["enum"])
        return f"<EnumType Name={quoteattr(name)}>{members}</EnumType>"
    if "properties" not in definition and "patternProperties" not in definition:
        base = {"integer": "Edm.Int64", "number": "Edm.Decimal", "boolean": "Edm.Boolean"}
        text = definition.get("type")
        text = text if isinstance(text, str) else "string"
        return f"<TypeDefinition Name={quoteattr(name)} UnderlyingType=\"{base.get(text, 'Edm.String')}\">" + limits(
            definition) + "</TypeDefinition>"
    body = properties(kind, namespace, name, definition, file)
    for pattern in definition.get("patternProperties", {}):
        if "odata|Redfish" not in pattern:
            body += (
                '<Annotation Term="Redfish.DynamicPropertyPatterns"><Collection><Record>'
                f'<PropertyValue Property="Pattern" String={quoteattr(pattern)}/>'
                '<PropertyValue Property="Type" String="Edm.PrimitiveType"/></Record></Collection></Annotation>')
    if "MemberId" in definition.get("properties", {}):
        return f'<EntityType Name={quoteattr(name)} BaseType="Resource.v1_0_0.ReferenceableMember">{body}</EntityType>'
    return f"<ComplexType Name={quoteattr(name)}>{body}</ComplexType>"


def revision(is_deprecated):
    if not is_deprecated:
        return ""
    return (
        '<Annotation Term="Redfish.Revisions"><Collection><Record>'
        '<PropertyValue Property="Kind" EnumMember="Redfish.RevisionKind/Deprecated"/>'
        '<PropertyValue Property="Version" String="v1_0_0"/></Record></Collection></Annotation>')


def limits(definition):
    xml = ""
    if "pattern" in definition:
        xml += f'<Annotation Term="Validation.Pattern" String={quoteattr(definition["pattern"])}/>'
    for key in ["minimum", "maximum"]:
        if isinstance(definition.get(key), int):
            xml += f'<Annotation Term="Validation.{key.capitalize()}" Int="{definition[key]}"/>'
    return xml


def primitive(definition):
    kinds = definition.get("type")
    kinds = [kinds] if isinstance(kinds, str) else list(kinds or [])
    nullable = "null" in kinds
    kinds = [kind for kind in kinds if kind != "null"]
    if len(kinds) != 1:
        return "Edm.PrimitiveType", nullable
    if kinds[0] == "string":
        return ("Edm.DateTimeOffset" if definition.get("format") == "date-time" else "Edm.String"), nullable
    return {"integer": "Edm.Int64", "number": "Edm.Decimal", "boolean": "Edm.Boolean"}.get(kinds[0]), nullable


def properties(kind, namespace, name, definition, file):
    all_properties = dict(definition.get("properties", {}))
    all_properties.update(SUPPLEMENT.get((kind, name), {}))
    xml = ""
    for prop, value in all_properties.items():
        if "@" in prop:
            continue
        is_array = value.get("type") == "array"
        item = value["items"] if is_array else value
        choices = [choice for choice in item.get("anyOf", []) if choice.get("type") != "null"]
        nullable = len(choices) < len(item.get("anyOf", []))
        is_link = False
        if "$ref" in item or (choices and "$ref" in choices[0]):
            csdl, is_link = resolve(item.get("$ref") or choices[0]["$ref"], file, namespace)
        elif item.get("type") == "object":
            csdl, nullable = f"{namespace}.{prop}", False
            schemas.put(namespace, prop, write_type(kind, namespace, prop, item, file))
        else:
            csdl, nullable = primitive(item)
        if csdl is None:
            schemas.notes.append(f"{namespace}.{name}.{prop}: form not understood, left out")
            continue
        extra = limits(value) + revision("deprecated" in value)
        if value.get("readonly"):
            extra += '<Annotation Term="OData.Permissions" EnumMember="OData.Permission/Read"/>'
        if prop in definition.get("required", []):
            extra += '<Annotation Term="Redfish.Required"/>'
        if (name, prop) in EXPANDED:
            extra += '<Annotation Term="OData.AutoExpand"/>'
        tag = "NavigationProperty" if is_link else "Property"
        full = f"Collection({csdl})" if is_array else csdl
        null = "" if nullable else ' Nullable="false"'
        xml += f'<{tag} Name={quoteattr(prop)} Type="{full}"{null}>{extra}</{tag}>'
    return xml


def of_release(kind, known, version):
    """Top-level properties of release 2026.1 that the files of 2018 do not have."""
    xml = ""
    for prop, value in index["resource_types"][kind]["properties"].items():
        if "@" in prop or prop in known:
            continue
        base = {"string": "Edm.String", "integer": "Edm.Int64", "number": "Edm.Decimal", "boolean": "Edm.Boolean"}
        if (kind, prop) in LINKS:
            xml += f'<NavigationProperty Name="{prop}" Type="{LINKS[kind, prop]}" Nullable="false"/>'
            continue
        if prop == "Status":
            csdl = STATUS
        elif "enum_ref" in value:
            place, name = value["enum_ref"].split("#/definitions/")
            space = place[:-5] if place.startswith("Resource") else f"{kind}.{version}"
            members = "".join(f"<Member Name={quoteattr(v)}/>" for v in index["enums"][value["enum_ref"]]["values"])
            if not schemas.has(space, name):
                schemas.put(space, name, f"<EnumType Name={quoteattr(name)}>{members}</EnumType>")
            csdl = f"{space}.{name}"
        elif isinstance(value.get("type"), list):
            csdl = primitive(value)[0]
        elif value.get("type") in base:
            csdl = base[value["type"]]
        else:
            csdl = None
        if csdl is None:
            continue
        extra = limits(value)
        if value.get("readonly"):
            extra += '<Annotation Term="OData.Permissions" EnumMember="OData.Permission/Read"/>'
        if prop in ["Id", "Name"]:
            extra += '<Annotation Term="Redfish.Required"/>'
        xml += f'<Property Name="{prop}" Type="{csdl}">{extra}</Property>'
    return xml


def annotations(kind):
    info = index["resource_types"].get(kind, {})
    xml = ""
    for term, key in [("Uris", "uris"), ("DeprecatedUris", "uris_deprecated")]:
        if info.get(key):
            strings = "".join(f"<String>{uri}</String>" for uri in info[key])
            xml += f'<Annotation Term="Redfish.{term}"><Collection>{strings}</Collection></Annotation>'
    for term, key in [("Insert", "insertable"), ("Update", "updatable"), ("Delete", "deletable")]:
        value = "true" if info.get(key) else "false"
        xml += (
            f'<Annotation Term="Capabilities.{term}Restrictions"><Record><PropertyValue '
            f'Property="{key.capitalize()}" Bool="{value}"/></Record></Annotation>')
    return xml


def resource(kind, version):
    info = index["resource_types"].get(kind)
    file = newest(kind)
    namespace = f"{kind}.{version}"
    definition = load(file)["definitions"].get(kind, {}) if file else {}
    known = set(definition.get("properties", {}))
    body = properties(kind, namespace, kind, definition, file) if file else ""
    if info:
        body += of_release(kind, known, version)
        for action in info["actions"]:
            schemas.put(kind, action.split(".")[-1], f'<Action Name="{action.split(".")[-1]}" IsBound="true"/>')
        if info["actions"] and "Actions" not in known:
            schemas.put(namespace, "Actions", '<ComplexType Name="Actions"/>')
            body += f'<Property Name="Actions" Type="{namespace}.Actions" Nullable="false"/>'
    is_object = info is None
    if is_object:
        # A type of its own within other resources, as Settings and Message.
        schemas.put(namespace, kind, f'<ComplexType Name="{kind}">{body}</ComplexType>')
        return "object of 2018"
    schemas.put(
        kind, kind,
        f'<EntityType Name="{kind}" BaseType="Resource.v1_0_0.Resource" Abstract="true">{annotations(kind)}</EntityType>')
    schemas.put(namespace, kind, f'<EntityType Name="{kind}" BaseType="{kind}.{kind}">{body}</EntityType>')
    return f"{file[:-5] if file else 'no file of 2018'} and 2026.1"


def collection(kind):
    document = load(f"{kind}.json")
    body = ""
    if document:
        definition = document["definitions"][kind]
        choices = [choice for choice in definition.get("anyOf", []) if "properties" in choice]
        body = properties(kind, kind, kind, choices[0] if choices else definition, f"{kind}.json")
    else:
        member = kind[: -len("Collection")]
        for prop, csdl in [("Description", "Edm.String"), ("Name", "Edm.String")]:
            body += f'<Property Name="{prop}" Type="{csdl}"/>'
        body += f'<NavigationProperty Name="Members" Type="Collection({member}.{member})" Nullable="false">'
        body += '<Annotation Term="Redfish.Required"/></NavigationProperty>'
    schemas.put(
        kind, kind,
        f'<EntityType Name="{kind}" BaseType="Resource.v1_0_0.ResourceCollection">{annotations(kind)}{body}</EntityType>')
    return "2018" if document else "2026.1"


os.makedirs(OUT, exist_ok=True)
for name in ["Resource", "ResourceCollection", "ReferenceableMember"]:
    schemas.put("Resource.v1_0_0", name, f'<EntityType Name="{name}" Abstract="true"/>')
schemas.put("Resource", "OemObject", '<ComplexType Name="OemObject" Abstract="true"/>')
STATUS, _ = resolve("Resource.json#/definitions/Status", "Resource.json", "Resource")

text = open(METADATA).read()
for uri, body in re.findall(r'<edmx:Reference Uri="([^"]+)">(.*?)</edmx:Reference>', text, re.S):
    kind = re.search(r"/(\w+?)(?:_v1)?\.xml", uri).group(1)
    versions = re.findall(rf'Namespace="{kind}\.(v\d+_\d+_\d+)"', body)
    if kind in ["Resource", "RedfishExtensions"]:
        continue
    if kind.endswith("Collection"):
        source = collection(kind)
    elif versions:
        source = " / ".join(resource(kind, version) for version in versions)
    else:
        continue
    print(f"{kind:32} {' '.join(versions):10} {source}")

for namespace, types in schemas.namespaces.items():
    with open(os.path.join(OUT, f"{namespace}.xml"), "w") as file:
        file.write(
            f'<edmx:Edmx {EDMX} Version="4.0"><edmx:DataServices><Schema {EDM} Namespace="{namespace}">'
            + "\n".join(types.values()) + "</Schema></edmx:DataServices></edmx:Edmx>\n")
for note in schemas.notes:
    print("note:", note)
print(f"{len(schemas.namespaces)} namespaces, {sum(map(len, schemas.namespaces.values()))} types")
