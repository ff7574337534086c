"""HTTP/2 without I/O: no socket, no clock, no `await`.

frames       types, flags, error codes, writing frames         RFC 9113 4.1, 6, 7
settings     ours and the server's                             RFC 9113 6.5
headers      header blocks                                     RFC 7541; RFC 9113 4.3, 8.2, 8.3
streams      what is known of an open stream                   RFC 9113 5.1
flow         what leaves, within the server's windows          RFC 9113 5.2, 6.9
state        what reading and commands share                   RFC 9113 5.1, 5.4
reading      cutting bytes into frames, content                RFC 9113 4, 6.1
responses    headers, their continuations, trailers            RFC 9113 6.2, 6.10, 8.1
control      all other frames                                  RFC 9113 6.3 to 6.9
connection   the whole: commands and bytes in, events and bytes out
limits       what a server may make us store and do            RFC 9113 10.5
"""

from headrace.transport.h2.engine.connection import Engine
from headrace.transport.h2.engine.limits import H2Limits

__all__ = ["Engine", "H2Limits"]
