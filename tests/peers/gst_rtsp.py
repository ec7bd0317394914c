"""Another program's RTSP server as a camera: GStreamer's, serving one file in a loop.

    /usr/bin/python3 gst_rtsp.py FILE.mp4 [--user U --password P] [--port 0] [--path cam]

Prints `rtsp://127.0.0.1:PORT/PATH` when it listens; ends with its standard input. Needs Debian's gir1.2-gst-rtsp-server-1.0,
gstreamer1.0-plugins-good and -bad, python3-gi. The stream is passed through, not encoded again: what the file holds (GOP,
B-frames, profile) is what arrives. At the end of the file it goes back to the start with running timestamps.
"""

import argparse
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402


class Looped(GstRtspServer.RTSPMediaFactory):
    """One shared pipeline per stream; the file starts again when it ends."""

    def __init__(self, file):
        super().__init__()
        self.set_shared(True)
        self.set_launch(
            f'( filesrc location="{file}" ! qtdemux name=demux demux.video_0 ! queue ! '
            "h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96 )"
        )
        self.connect("media-configure", self.on_media)

    def on_media(self, _factory, media):
        element = media.get_element()
        pay = element.get_by_name("pay0")
        state = {"segment": False}

        def probe(_pad, info):
            event = info.get_event()
            if event.type == Gst.EventType.SEGMENT_DONE or event.type == Gst.EventType.EOS:
                GLib.idle_add(again)
                return Gst.PadProbeReturn.DROP
            return Gst.PadProbeReturn.OK

        def again():
            # A segment seek without flush keeps the running time going, so RTP timestamps continue.
            element.seek(1.0, Gst.Format.TIME, Gst.SeekFlags.SEGMENT, Gst.SeekType.SET, 0, Gst.SeekType.NONE, -1)
            return False

        def prepared(_media):
            if not state["segment"]:
                state["segment"] = True
                flags = Gst.SeekFlags.SEGMENT | Gst.SeekFlags.FLUSH
                element.seek(1.0, Gst.Format.TIME, flags, Gst.SeekType.SET, 0, Gst.SeekType.NONE, -1)

        pay.get_static_pad("sink").add_probe(Gst.PadProbeType.EVENT_DOWNSTREAM, probe)
        media.connect("prepared", prepared)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    parser.add_argument("--port", default="0")
    parser.add_argument("--path", default="cam")
    args = parser.parse_args()

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(args.port)
    factory = Looped(args.file)
    if args.user:
        auth = GstRtspServer.RTSPAuth()
        auth.set_supported_methods(2)  # GST_RTSP_AUTH_DIGEST
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", args.user)
        auth.add_digest(args.user, args.password, token)
        server.set_auth(auth)
        factory.add_role_from_structure(
            Gst.Structure.from_string(f"{args.user}, media.factory.access=true, media.factory.construct=true")[0]
        )
    server.get_mount_points().add_factory(f"/{args.path}", factory)
    server.attach(None)
    loop = GLib.MainLoop()
    print(f"rtsp://127.0.0.1:{server.get_bound_port()}/{args.path}", flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True).start()
    loop.run()


main()
