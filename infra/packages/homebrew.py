"""The formula for Homebrew on Linux, which installs the archives of the release."""

import hashlib
import string

FORMULA = string.Template('''\
class Neap < Formula
  desc "Time series database on object storage"
  homepage "$url"
  version "$version"
  license any_of: ["MIT", "Apache-2.0"]

$archives
  # Releases have no program for macOS.
  depends_on :linux

  def install
    bin.install "neap"
    man1.install Dir["man/*"]
    bash_completion.install "completions/neap.bash" => "neap"
    zsh_completion.install "completions/neap.zsh" => "_neap"
    fish_completion.install "completions/neap.fish"
  end

  test do
    address = testpath/"address"
    server = spawn bin/"neap", "serve", "--data-dir", testpath/"data", "--http-bind", "127.0.0.1:0",
                   "--without-auth", "--tcp-listener-file-path", address
    begin
      300.times { address.size? ? break : sleep(0.1) }
      host = "http://#{address.read.strip}"
      system bin/"neap", "write", "--host", host, "--database", "garden", "soil,bed=herbs moisture=38.5"
      query = "SELECT moisture FROM soil"
      assert_match "38.5", shell_output("#{bin}/neap query --host #{host} --database garden '#{query}'")
    ensure
      Process.kill "TERM", server
      Process.wait server
    end
  end
end
''')
ARCHIVE = string.Template('''\
  on_$cpu do
    url "$url/$name"
    sha256 "$digest"
  end
''')
# Names of the architectures in Homebrew.
CPUS = {"x86_64": "intel", "aarch64": "arm"}


def build(release):
    """Makes the formula from the archives."""
    archives = []
    for architecture in release.programs:
        name = f"neap-{release.version}-{architecture}-linux.tar.gz"
        digest = hashlib.sha256((release.folder / name).read_bytes()).hexdigest()
        archives.append(ARCHIVE.substitute(cpu=CPUS[architecture], url=release.url, name=name, digest=digest))
    fields = {"url": release.url, "version": release.version, "archives": "".join(archives)}
    (release.folder / "neap.rb").write_text(FORMULA.substitute(fields))
