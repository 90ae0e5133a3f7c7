"""Other clients that pin, in the same place: curl, and OkHttp's `CertificatePinner`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.interceptors.base import HOME, HOST, NotInstalledError, Way, call, program
from tests.interceptors.clients import Target


@dataclass(frozen=True)
class Foreign:
    """A client of another project.

    Attributes:
        available: whether it is on this machine.
        ask: with a target, the way there and the pin of the genuine key: ask once without pins,
            and once with them; what became of the latter, in a word.
    """

    available: Callable[[], bool]
    ask: Callable[[Target, Way, str], str]


CURL_PINNED_KEY = 90  # CURLE_SSL_PINNEDPUBKEYNOTMATCH


def curl(target: Target, way: Way, pin: str) -> str:
    """curl, with and without --pinnedpubkey."""
    options = ["--cacert", str(target.cafile), "--http1.1"]
    if way in ("connect", "socks"):
        scheme = "http" if way == "connect" else "socks5h"
        options += ["--proxy", f"{scheme}://127.0.0.1:{target.proxy}", "--noproxy", ""]
    else:
        options += ["--noproxy", "*"]
    _curl(target, target.secret, *options)
    pinned = "--pinnedpubkey", pin.replace("sha256/", "sha256//")
    code = _curl(target, f"pinned {target.secret}", *options, *pinned)
    return {CURL_PINNED_KEY: "refused", 0: "INTERCEPTED"}.get(code, f"stopped by error {code}")


def _curl(target: Target, secret: str, *options: str) -> int:
    command = ["curl", "--silent", "--max-time", "60", "--output", "/dev/null", *options]
    url = f"https://{HOST}:{target.port}/"
    return subprocess.run(
        [*command, "--header", f"X-Secret: {secret}", url], capture_output=True, check=False
    ).returncode


POM = """
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>x</groupId><artifactId>x</artifactId>
  <version>1</version>
  <dependencies><dependency>
    <groupId>com.squareup.okhttp3</groupId><artifactId>okhttp</artifactId><version>4.12.0</version>
  </dependency></dependencies>
</project>
"""
PROGRAM = """
import java.io.*;
import java.net.*;
import java.security.KeyStore;
import java.security.cert.*;
import javax.net.ssl.*;
import okhttp3.*;

public class Ask {
    public static void main(String[] given) throws Exception {
        String url = given[0], way = given[1], port = given[2], cas = given[3], secret = given[4];
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        int number = 0;
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        try (InputStream file = new FileInputStream(cas)) {
            for (Certificate ca : factory.generateCertificates(file))
                store.setCertificateEntry("ca" + number++, ca);
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(store);
        X509TrustManager manager = (X509TrustManager) trust.getTrustManagers()[0];
        Proxy proxy = Proxy.NO_PROXY;
        if (way.equals("connect") || way.equals("socks"))
            proxy = new Proxy(
                way.equals("socks") ? Proxy.Type.SOCKS : Proxy.Type.HTTP,
                new InetSocketAddress("127.0.0.1", Integer.parseInt(port)));
        for (String pin : new String[] {null, given[5]}) {
            SSLContext context = SSLContext.getInstance("TLS"); // with no session to resume
            context.init(null, trust.getTrustManagers(), null);
            OkHttpClient.Builder builder = new OkHttpClient.Builder()
                .proxy(proxy).sslSocketFactory(context.getSocketFactory(), manager);
            if (pin != null)
                builder.certificatePinner(
                    new CertificatePinner.Builder().add("localhost", pin).build());
            Request request = new Request.Builder()
                .url(url).header("X-Secret", pin == null ? secret : "pinned " + secret).build();
            try (Response response = builder.build().newCall(request).execute()) {
                System.out.println("INTERCEPTED");
            } catch (SSLPeerUnverifiedException error) {
                boolean byPin = error.getMessage().startsWith("Certificate pinning failure");
                System.out.println(byPin ? "refused" : "stopped by " + error.getMessage());
            } catch (IOException error) {
                System.out.println("stopped by " + error.getMessage());
            }
        }
        System.exit(0);
    }
}
"""


@cache
def okhttp_home() -> Path | None:
    """Where OkHttp is, from Maven's registry; None without Java or Maven."""
    home = HOME / "okhttp"
    try:
        java, maven = program("java"), program("mvn")
        if not (home / "installed").exists():
            home.mkdir(parents=True, exist_ok=True)
            (home / "pom.xml").write_text(POM)
            call(
                maven,
                "-q",
                "-B",
                "dependency:copy-dependencies",
                "-DoutputDirectory=jars",
                cwd=home,
            )
            (home / "Ask.java").write_text(PROGRAM)
            call(java.replace("bin/java", "bin/javac"), "-cp", "jars/*", "Ask.java", cwd=home)
            (home / "installed").touch()
    except NotInstalledError:
        return None
    return home


def okhttp(target: Target, way: Way, pin: str) -> str:
    """OkHttp, with and without a `CertificatePinner`."""
    home = okhttp_home()
    words = target.url, way, str(target.proxy or 0), str(target.cafile), target.secret, pin
    done = subprocess.run(
        [program("java"), "-cp", f"{home}/jars/*:{home}", "Ask", *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return (done.stdout.splitlines() or [f"stopped by {done.stderr[-200:]}"])[-1]


CLIENTS: dict[str, Foreign] = {
    "curl": Foreign(lambda: shutil.which("curl") is not None, curl),
    "OkHttp": Foreign(lambda: okhttp_home() is not None, okhttp),
}
"""By name."""
