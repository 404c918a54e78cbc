"""A new source from a profile, and a change of a source's secret, both without a restart.

A secret that is made here is shown once, on the page after the button. One that the sender gives is asked for.
"""

from __future__ import annotations

import os
from typing import Any

from flask import flash, redirect, render_template, request, url_for

from relay.configuration.files import Mistakes
from relay.core.errors import ConfigError, NotFoundError, NotWritableError, RecordUnavailableError, RelayError
from relay.core.phrases import phrase
from relay.operations.config_files import ConfigFiles
from relay.sources import Source
from relay.sources.finding import find_profiles
from relay.sources.loading import OWN_PROFILES, Profile, Profiles
from relay.sources.proof.verifier import words_of
from relay.sources.schemas import KINDS
from relay.web.dashboard.frame import blueprint, for_operators, who
from relay.web.language import _, country_named, said, say_fault
from relay.web.services import services

LONGEST_NAME, LONGEST_SEARCH = 64, 100


def config_files() -> ConfigFiles:
    """The files of sources and portals."""
    return ConfigFiles(services().store, services().settings.config, os.environ)


def hook_url(name: str) -> str:
    """The address that is entered at the sender of this source."""
    base = services().settings.public_url or request.host_url.rstrip("/")
    return f"{base}/hooks/{name}"


def profile_of(name: str | None) -> Profile | None:
    """The profile of this name; None if there is none that can be used."""
    return _profiles().get(name, Mistakes()) if name else None


def reason_of(error: RelayError) -> str:
    """The reason why nothing was written."""
    if isinstance(error, ConfigError):
        return " ".join(say_fault(mistake.fault) for mistake in error.mistakes)
    return said(error)


@blueprint.get("/sources/add")
@for_operators
def new_source() -> Any:
    """The profiles; with one in the query, what to enter at the sender, and the form."""
    if name := request.args.get("profile", ""):
        return _form(_known_profile(name), request.args.get("name", "").strip()[:LONGEST_NAME])
    wanted = request.args.get("q", "").strip()[:LONGEST_SEARCH]
    every = _profiles().every(Mistakes())
    countries = sorted({country for one in every for country in one.countries}, key=country_named)
    kind, country = (request.args.get(name, "") for name in ("kind", "country"))
    return render_template(
        "new_source.html",
        profiles=find_profiles(every, wanted, kind=kind, country=country),
        wanted=wanted,
        kinds=KINDS,
        kind=kind,
        countries={code: country_named(code) for code in countries},
        country=country,
    )


@blueprint.post("/sources/add")
def add_source() -> Any:
    """Write it, and show the secret that was made; it is in force within seconds."""
    profile, name = _known_profile(request.form.get("profile", "")), request.form.get("name", "")[:LONGEST_NAME]
    given = {word: request.form.get(word, "") for word in profile.variables("any")}
    try:
        made = config_files().add_source(profile, name, given, who())
    except RecordUnavailableError:
        raise
    except RelayError as error:
        return _form(profile, name, why=reason_of(error)), 409 if isinstance(error, NotWritableError) else 422
    if not made:
        return redirect(url_for("dashboard.sources", open=name, _anchor=name), 303)
    steps = profile.filled_steps({"url": hook_url(name), **profile.variables(name), **made})
    return render_template("secret_made.html", name=name, steps=steps, secrets=list(made.values()), title=profile.title)


@blueprint.get("/sources/<name>/secret")
@for_operators
def rotation(name: str) -> Any:
    """The next step of a change of the secret."""
    return _rotation(_known_source(name))


@blueprint.post("/sources/<name>/secret/add")
def add_secret(name: str) -> Any:
    """Make or take a second secret, and show it once if it was made."""
    source, given = _known_source(name), request.form.get("secret", "")
    try:
        secret = config_files().add_secret(name, profile_of(source.profile), given, who())
    except RecordUnavailableError:
        raise
    except RelayError as error:
        return _rotation(source, why=reason_of(error)), 422
    if given:
        flash(_("Both secrets of %(name)s are valid in a few seconds.", name=name))
        return redirect(url_for("dashboard.rotation", name=name), 303)
    profile = profile_of(source.profile)
    steps = profile.filled_steps({"url": hook_url(name), **source.variables, "secret": secret}) if profile else []
    return render_template("secret_made.html", name=name, steps=steps, secrets=[secret], title="", is_second=True)


@blueprint.post("/sources/<name>/secret/keep")
def keep_secret(name: str) -> Any:
    """Keep one secret and forget the other."""
    source = _known_source(name)
    try:
        config_files().keep_secret(name, request.form.get("kept", ""), who())
    except RecordUnavailableError:
        raise
    except RelayError as error:
        return _rotation(source, why=reason_of(error)), 422
    flash(_("One secret of %(name)s is valid in a few seconds: the other one is forgotten.", name=name))
    return redirect(url_for("dashboard.sources", open=name, _anchor=name), 303)


def _profiles() -> Profiles:
    return Profiles(services().settings.config / OWN_PROFILES)


def _known_profile(name: str) -> Profile:
    found = profile_of(name)
    if found is None:
        raise NotFoundError(_profiles().unknown(name))
    return found


def _known_source(name: str) -> Source:
    if name not in services().sources:
        raise NotFoundError(phrase("no source %(name)r", name=name))
    return services().sources[name]


def _form(profile: Profile, name: str, why: str = "") -> Any:
    files = config_files()
    name = name or _free_name(profile.name, files)
    variables = profile.variables(name)
    return render_template(
        "new_source.html",
        profile=profile,
        name=name,
        proof=words_of(profile.verifier, profile.addresses),
        url=hook_url(name),
        steps=profile.filled_steps({"url": hook_url(name), **variables}),
        variables=variables,
        entered=[word for word in variables if profile.is_entered(word)],
        lacks_folder=bool(variables) and not files.keeps_secrets,
        read_only=files.read_only(with_secrets=bool(variables)),
        entry=f"sources:\n{profile.entry(name)}",
        why=why,
    )


def _free_name(name: str, files: ConfigFiles) -> str:
    taken = files.sources_written()
    return next(one for one in (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3))) if one not in taken)


def _rotation(source: Source, why: str = "") -> Any:
    profile, files = profile_of(source.profile), config_files()
    try:
        names = files.secrets_written(source.name)
    except RelayError as error:  # such as secrets of two ways of proof
        names, why = (), why or reason_of(error)
    return render_template(
        "rotation.html",
        source=source,
        names=names,
        may_make=profile is None or profile.is_entered("secret"),
        keeps_secrets=files.keeps_secrets,
        read_only=files.read_only(with_secrets=True),
        why=why,
    )
