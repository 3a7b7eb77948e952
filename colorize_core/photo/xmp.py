"""XMP packets (ISO 16684-1): metadata as RDF, parsed strictly and edited in place."""

from collections.abc import Iterable, Mapping
from xml.dom import minidom
from xml.parsers.expat import ExpatError
from xml.sax.saxutils import quoteattr

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_META = "adobe:ns:meta/"
_EMPTY = f'<x:xmpmeta xmlns:x="{_META}"><rdf:RDF xmlns:rdf="{RDF}"/></x:xmpmeta>'
_BEGIN, _END = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>', '<?xpacket end="w"?>'

Property = tuple[str, str]
"""Namespace and local name."""


def has_property(packet: bytes | None, wanted: Property) -> bool:
    """Return True if a packet has a property; raises ValueError if the packet is damaged."""
    descriptions = _descriptions(_parse(packet))
    return any(description.hasAttributeNS(*wanted) or _elements(description, wanted) for description in descriptions)


def rewrite(
    packet: bytes | None, remove: Iterable[Property] = (), add: Mapping[tuple[str, str, str], str] | None = None
) -> bytes:
    """Change simple properties of a packet and keep all its other contents.

    Args:
        packet: UTF-8, with or without its wrapper; None starts an empty one.
        remove: properties to remove.
        add: values by (namespace, prefix, local name); they replace existing values.

    Raises:
        ValueError: the packet is damaged, not RDF, or declares a document type (risk of entity expansion attacks).
    """
    add = add or {}
    document = _parse(packet)
    about = ""
    for description in _descriptions(document):
        about = about or description.getAttributeNS(RDF, "about")
        for wanted in [*remove, *((namespace, name) for namespace, _, name in add)]:
            if description.hasAttributeNS(*wanted):  # RDF allows a simple property as attribute or element
                description.removeAttributeNS(*wanted)
            for element in _elements(description, wanted):
                description.removeChild(element)
    if add:
        fresh = minidom.parseString(_description(about, add)).documentElement
        assert fresh is not None
        _rdf(document).appendChild(document.importNode(fresh, deep=True))
    assert document.documentElement is not None
    try:
        body = document.documentElement.toxml()
    except RecursionError as error:
        raise ValueError("XMP is nested too deeply") from error
    return f"{_BEGIN}{body}{_END}".encode()


def _parse(packet: bytes | None) -> minidom.Document:
    text = _EMPTY if packet is None else packet.rstrip(b"\0").decode("utf-8")
    if "<!DOCTYPE" in text:
        raise ValueError("XMP declares a document type")
    try:
        document = minidom.parseString(text.strip().encode())
    except ExpatError as error:
        raise ValueError(f"XMP is not XML ({error})") from error
    _rdf(document)
    return document


def _rdf(document: minidom.Document) -> minidom.Element:
    """Return the RDF element: the root itself, or the child of a root x:xmpmeta."""
    assert document.documentElement is not None
    root = document.documentElement
    found = [root] if (root.namespaceURI, root.localName) == (RDF, "RDF") else _elements(root, (RDF, "RDF"))
    if not found:
        raise ValueError("XMP has no RDF")
    return found[0]


def _descriptions(document: minidom.Document) -> list[minidom.Element]:
    return _elements(_rdf(document), (RDF, "Description"))


def _elements(parent: minidom.Element, wanted: Property) -> list[minidom.Element]:
    children = (child for child in parent.childNodes if isinstance(child, minidom.Element))
    return [child for child in children if (child.namespaceURI, child.localName) == wanted]


def _description(about: str, add: Mapping[tuple[str, str, str], str]) -> str:
    spaces = {prefix: namespace for namespace, prefix, _ in add} | {"rdf": RDF}
    declared = "".join(f" xmlns:{prefix}={quoteattr(namespace)}" for prefix, namespace in spaces.items())
    values = "".join(f" {prefix}:{name}={quoteattr(value)}" for (_, prefix, name), value in add.items())
    return f"<rdf:Description{declared} rdf:about={quoteattr(about)}{values}/>"
