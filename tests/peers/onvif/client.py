"""Another program's opinion of the virtual camera's ONVIF side: onveef, a client of its own.

    venv/bin/python client.py HOST PORT USER PASSWORD

Prints a line of JSON for each thing it was told; after `listening` it waits for one notification that the scene changed.
"""

import json
import sys
import time

from onveef import OnvifClient, envelopes, parsers


def say(what, told):
    print(json.dumps({"what": what, "told": told}, default=str), flush=True)


def pull(camera, url):
    """As its events_pull_messages, without the read timeout that httpx 0.28 refuses of onveef 0.6.0."""
    xml = camera._post_subscription(
        subscription_url=url,
        body=envelopes.events_pull_messages(timeout="PT2S", message_limit=20),
        wsa_action="http://www.onvif.org/ver10/events/wsdl/PullPointSubscription/PullMessagesRequest",
        operation="PullMessages",
    )
    return parsers.parse_pull_messages(xml)


def main():
    host, port, user, password = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    try:
        OnvifClient(host, port, user, "wrong").get_device_information()
        say("wrong password", "accepted")
    except Exception as error:  # noqa: BLE001 (whatever it is called there)
        say("wrong password", type(error).__name__)
    with OnvifClient(host, port, user, password) as camera:
        say("information", camera.get_device_information())
        profiles = camera.get_profiles()
        say("profiles", profiles)
        token = profiles[0]["token"]
        say("uri", camera.get_stream_uri(profile_token=token))
        say("nodes", camera.ptz_get_nodes())
        presets = camera.ptz_get_presets(profile_token=token)
        say("presets", presets)
        camera.ptz_goto_preset(profile_token=token, preset_token=presets[1]["token"])
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            status = camera.ptz_get_status(profile_token=token)
            if "IDLE" in json.dumps(status, default=str):
                break
            time.sleep(0.1)
        say("status", status)
        camera.ptz_continuous_move(profile_token=token, pan=-0.5, tilt=0.0, zoom=0.0, timeout="PT1S")
        camera.ptz_stop(profile_token=token)
        say("stored", camera.ptz_set_preset(profile_token=token, preset_name="theirs"))
        say("properties", camera.events_get_event_properties())
        url = camera.events_create_pull_point()["subscription_url"]
        say("listening", None)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            text = json.dumps(pull(camera, url), default=str)
            if "GlobalSceneChange" in text and "Changed" in text:
                say("noticed", text)
                break
        camera.events_renew(subscription_url=url)
        camera.events_unsubscribe(subscription_url=url)


main()
