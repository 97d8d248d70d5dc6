"""A client of the daemon's API over TLS, as kubectl authenticates."""

import base64
import http.client
import json
import os
import re
import ssl
import threading

GROUP = "/apis/forkplane.dev/v1alpha1"
NAMESPACED = GROUP + "/namespaces/default/"


class Api:
    def __init__(self, kubeconfig, directory):
        with open(kubeconfig, encoding="utf-8") as file:
            text = file.read()
        found = re.search(r"server: https://([^:/]+):(\d+)", text)
        self.host, self.port = found.group(1), int(found.group(2))
        files = {}
        for key in ("certificate-authority", "client-certificate", "client-key"):
            files[key] = os.path.join(directory, key)
            with open(os.open(files[key], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(base64.b64decode(re.search(rf"{key}-data: (\S+)", text).group(1)))
        self.context = ssl.create_default_context(cafile=files["certificate-authority"])
        self.context.load_cert_chain(files["client-certificate"], files["client-key"])

    def connect(self, timeout=60):
        connection = http.client.HTTPSConnection(self.host, self.port, context=self.context, timeout=timeout)
        connection.connect()
        return connection

    def call(self, method, path, body=None, connection=None):
        """The object, or None when it is not found; other refusals raise."""
        own = connection or self.connect()
        own.request(method, path, body=json.dumps(body) if body else None,
                    headers={"Content-Type": "application/json"})
        answer = own.getresponse()
        value = json.loads(answer.read())
        if connection is None:
            own.close()
        if answer.status == 404:
            return None
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {value.get('message')}")
        return value

    def create(self, plural, kind, name, spec, namespaced=True, connection=None):
        path = (NAMESPACED if namespaced else GROUP + "/") + plural
        return self.call("POST", path, {"apiVersion": "forkplane.dev/v1alpha1", "kind": kind,
                                        "metadata": {"name": name}, "spec": spec}, connection)

    def get(self, plural, name):
        return self.call("GET", f"{NAMESPACED}{plural}/{name}")

    def names(self, plural):
        return [item["metadata"]["name"] for item in self.call("GET", NAMESPACED + plural)["items"]]

    def delete(self, plural, name):
        return self.call("DELETE", f"{NAMESPACED}{plural}/{name}")


class Addresses:
    """Follows a watch of VirtualMachines: the address of each, as soon as its status tells."""

    def __init__(self, api):
        self.known = {}
        self.changed = threading.Condition()
        version = api.call("GET", NAMESPACED + "virtualmachines")["metadata"]["resourceVersion"]
        self.connection = api.connect(timeout=None)
        self.connection.request("GET", f"{NAMESPACED}virtualmachines?watch=1&resourceVersion={version}")
        self.answer = self.connection.getresponse()
        threading.Thread(target=self._follow, daemon=True).start()

    def of(self, fork, seconds):
        """The address of the VM that the Fork made."""
        with self.changed:
            if not self.changed.wait_for(lambda: fork in self.known, seconds):
                raise RuntimeError(f"the VM of Fork {fork} got no address")
            return self.known[fork]

    def _follow(self):
        while line := self.answer.readline():
            vm = json.loads(line)["object"]
            interfaces = vm.get("status", {}).get("interfaces") or [{}]
            if not interfaces[0].get("ip"):
                continue
            with self.changed:
                for owner in vm["metadata"].get("ownerReferences", []):
                    self.known[owner["name"]] = interfaces[0]["ip"]
                self.changed.notify_all()
