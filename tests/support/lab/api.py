"""The Kubernetes API spoken directly: a tenth of a millisecond where kubectl needs a tenth of a second."""

import http.client
import json
import os
import ssl

GROUP = "/apis/forkplane.dev/v1alpha1"
CLUSTER_SCOPED = {"networks", "hosts"}


class Refused(Exception):
    """An answer that is not 2xx; `code` is its status code."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code


class Api:
    """One connection, kept open, with the admin's certificate of a state directory. Not for several threads."""

    def __init__(self, address, state_directory, namespace="default"):
        pki = os.path.join(state_directory, "pki")
        context = ssl.create_default_context(cafile=os.path.join(pki, "ca.crt"))
        context.load_cert_chain(os.path.join(pki, "admin.crt"), os.path.join(pki, "admin.key"))
        host, port = address.rsplit(":", 1)
        self.connection = http.client.HTTPSConnection(host, int(port), timeout=10, context=context)
        self.namespace = namespace

    def close(self):
        self.connection.close()

    def path(self, plural, name=""):
        where = "" if plural in CLUSTER_SCOPED else f"/namespaces/{self.namespace}"
        return f"{GROUP}{where}/{plural}{'/' + name if name else ''}"

    def request(self, method, path, body=None, media="application/json"):
        headers = {"Content-Type": media} if body is not None else {}
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.connection.getresponse()
        text = answer.read().decode()
        if answer.status >= 300:
            raise Refused(answer.status, text)
        return json.loads(text)

    def list(self, plural):
        return self.request("GET", self.path(plural))["items"]

    def get(self, plural, name):
        """The object, or None."""
        try:
            return self.request("GET", self.path(plural, name))
        except Refused as refused:
            if refused.code == 404:
                return None
            raise

    def ensure(self, plural, body):
        """Creates the object unless it is there."""
        try:
            self.request("POST", self.path(plural), body)
        except Refused as refused:
            if refused.code != 409:
                raise

    def patch(self, plural, name, body):
        return self.request("PATCH", self.path(plural, name), body, "application/merge-patch+json")

    def delete(self, plural, name):
        """Asks for the deletion; being gone already is fine."""
        try:
            self.request("DELETE", self.path(plural, name))
        except Refused as refused:
            if refused.code != 404:
                raise
