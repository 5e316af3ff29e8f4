"""Those who are told of alarms, by programs that others wrote.

usage: notify.py webhook PORT LOG FAILURES SECRET [CERTIFICATE]   Python's http.server; fails so often at first
       notify.py smtp PORT LOG CERTIFICATE USER PASSWORD          aiosmtpd with STARTTLS and a login; Python's email reads the mails
       notify.py broker PORT TLS_PORT CERTIFICATE                 amqtt
       notify.py subscriber PORT LOG                              paho
Each appends a line of JSON to LOG for all that it was told.
"""
import asyncio, base64, email, email.policy, hashlib, hmac, http.server, json, ssl, sys, threading, time

PART, PORT = sys.argv[1], int(sys.argv[2])


def log(said):
    with open(sys.argv[3], "a", encoding="utf-8") as file:
        file.write(json.dumps(said) + "\n")


def tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def webhook():
    failures, secret = int(sys.argv[4]), sys.argv[5]
    key = base64.b64decode(secret.removeprefix("whsec_"))
    lock = threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            nonlocal failures
            body = self.rfile.read(int(self.headers["content-length"]))
            signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
            expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
            with lock:
                taken, failures = failures <= 0, failures - 1
                log({
                    "path": self.path, "taken": taken, "id": self.headers["webhook-id"],
                    "key": self.headers["idempotency-key"], "plant": self.headers["x-plant"],
                    "signed": hmac.compare_digest(expected, self.headers["webhook-signature"]),
                    "fresh": abs(time.time() - int(self.headers["webhook-timestamp"])) < 60,
                    "text": body.decode(), "body": json.loads(body),
                })
            self.send_response(204 if taken else 503)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *whence):
            # Whoever asked was killed, which is what the tests are about.
            if not isinstance(sys.exc_info()[1], OSError):
                super().handle_error(*whence)

    server = Server(("127.0.0.1", PORT), Handler)
    if len(sys.argv) > 6:
        server.socket = tls(sys.argv[6]).wrap_socket(server.socket, server_side=True)
    server.serve_forever()


def smtp():
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult

    def authenticate(server, session, envelope, mechanism, data):
        return AuthResult(success=(data.login.decode(), data.password.decode()) == (sys.argv[5], sys.argv[6]))

    class Handler:
        async def handle_DATA(self, server, session, envelope):
            mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
            log({
                "encrypted": session.ssl is not None, "known": session.authenticated, "recipients": envelope.rcpt_tos, "from": str(mail["from"]),
                "subject": str(mail["subject"]), "id": str(mail["message-id"]), "defects": len(mail.defects),
                "text": mail.get_content(),
            })
            return "250 taken"

    options = {"tls_context": tls(sys.argv[4]), "require_starttls": True, "auth_required": True, "authenticator": authenticate}
    Controller(Handler(), hostname="127.0.0.1", port=PORT, **options).start()
    threading.Event().wait()


def broker():
    from amqtt.broker import Broker

    async def run():
        listeners = {
            "default": {"type": "tcp", "bind": f"127.0.0.1:{PORT}"},
            "encrypted": {"bind": f"127.0.0.1:{sys.argv[3]}", "ssl": True, "certfile": sys.argv[4], "keyfile": sys.argv[4]},
        }
        await Broker({"listeners": listeners}).start()
        await asyncio.Event().wait()

    asyncio.run(run())


def subscriber():
    from paho.mqtt import client as mqtt

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="subscriber")
    client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
    client.on_subscribe = lambda *_: log({"subscribed": True})
    client.on_message = lambda _, __, message: log({
        "topic": message.topic, "qos": message.qos, "body": json.loads(message.payload),
    })
    while True:
        try:
            client.connect("127.0.0.1", PORT)
            break
        except OSError:
            time.sleep(0.1)
    client.loop_forever()


{"webhook": webhook, "smtp": smtp, "broker": broker, "subscriber": subscriber}[PART]()
