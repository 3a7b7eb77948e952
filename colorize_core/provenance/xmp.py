"""XMP packets (ISO 16684-1): metadata as RDF, parsed strictly and edited in place."""

from collections.abc import Iterable, Mapping
from xml.dom import minidom
from xml.parsers.expat import ExpatError
from xml.sax.saxutils import quoteattr

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_META = "adobe:ns:meta/"
_PREFIX, _RDF_PREFIX = "xmlns", "rdf:"
_EMPTY = f'<x:xmpmeta xmlns:x="{_META}"><rdf:RDF xmlns:rdf="{RDF}"/></x:xmpmeta>'
_BEGIN, _END = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>', '<?xpacket end="w"?>'

Property = tuple[str, str]
"""Namespace and local name."""
_Node = minidom.Element | minidom.Attr


def read_property(packet: bytes | None, wanted: Property) -> str | None:
    """Return the text of a simple property, "" for others, None without it; raises ValueError for a damaged packet."""
    for description in _descriptions(_parse(packet)):
        if description.hasAttributeNS(*wanted):  # RDF allows a simple property as attribute or element
            return description.getAttributeNS(*wanted)
        for element in _elements(description, wanted):
            return "".join(child.data for child in element.childNodes if isinstance(child, minidom.Text)).strip()
    return None


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
            if description.hasAttributeNS(*wanted):
                description.removeAttributeNS(*wanted)
            for element in _elements(description, wanted):
                description.removeChild(element)
    if add:
        fresh = minidom.parseString(_description(about, add)).documentElement
        assert fresh is not None
        _rdf(document).appendChild(document.importNode(fresh, deep=True))
    return _in_wrapper(_serialize(document))


def merge(packet: bytes, other: bytes) -> bytes:
    """Return a packet with the properties of both; those of `other` count. Raises ValueError if one is damaged."""
    further = _parse(other)
    nodes = [node for _, node in _properties(further) if not node.nodeName.startswith(_RDF_PREFIX)]
    document = _parse(rewrite(packet, [(node.namespaceURI or "", node.localName or "") for node in nodes]))
    outer = [element for element in (further.documentElement, _rdf(further)) if element]
    for description in _descriptions(further):
        for element in outer:  # prefixes that are declared further out
            for name, value in element.attributes.items():
                if name.startswith(_PREFIX) and not description.hasAttribute(name):
                    description.setAttribute(name, value)
        _rdf(document).appendChild(document.importNode(description, deep=True))
    return _in_wrapper(_serialize(document))


def split(packet: bytes, limit: int) -> tuple[bytes, bytes]:
    """Move the largest properties of a packet, so that it has at most `limit` bytes.

    Returns:
        The packet, and the moved properties as RDF without a wrapper.

    Raises:
        ValueError: the packet is damaged, or cannot be shortened to the limit.
    """
    document, rest = _parse(packet), _parse(packet)
    size = len(_in_wrapper(_serialize(document)))
    both = zip(_properties(document), _properties(rest), strict=True)
    for (description, node), (other, twin) in sorted(both, key=lambda pair: -_length(pair[0][1])):
        if size > limit:
            size -= _length(node)
            _remove(description, node)
        else:
            _remove(other, twin)
    shortened = _in_wrapper(_serialize(document))
    if len(shortened) > limit:
        raise ValueError(f"XMP cannot be shortened to {limit} bytes")
    return shortened, _serialize(rest).encode()


def _properties(document: minidom.Document) -> list[tuple[minidom.Element, _Node]]:
    """Return the properties, which are child elements and attributes, each with the description that it is in."""
    found: list[tuple[minidom.Element, _Node]] = []
    for description in _descriptions(document):
        nodes = [*description.childNodes, *map(description.getAttributeNode, list(description.attributes.keys()))]
        found += [
            (description, node)
            for node in nodes
            if isinstance(node, minidom.Element)
            or (isinstance(node, minidom.Attr) and not node.nodeName.startswith((_PREFIX, _RDF_PREFIX)))
        ]
    return found


def _length(node: _Node) -> int:
    """Return the bytes that a property takes in a packet."""
    text = node.toxml() if isinstance(node, minidom.Element) else f' {node.nodeName}="{node.value}"'
    return len(text.encode())


def _remove(description: minidom.Element, node: _Node) -> None:
    if isinstance(node, minidom.Element):
        description.removeChild(node)
    else:
        description.removeAttributeNode(node)


def _serialize(document: minidom.Document) -> str:
    assert document.documentElement is not None
    try:
        return document.documentElement.toxml()
    except RecursionError as error:
        raise ValueError("XMP is nested too deeply") from error


def _in_wrapper(body: str) -> bytes:
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
