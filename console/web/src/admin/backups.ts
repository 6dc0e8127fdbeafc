/** The requests about backups and restores. */

import { getJson, request } from "../api/client";

const BACKUPS = "/api/v3/enterprise/backup";
const RESTORES = "/api/v3/enterprise/restore";

export type JobStatus = "in_progress" | "completed" | "failed";

/** A backup or a restore, as far as both have the same properties. */
interface Job {
  status: JobStatus;
  created_at: string;
  completed_at?: string;
  total_files: number;
  total_size_bytes: number;
  error?: string;
}

/** A backup. */
export interface Backup extends Job {
  name: string;
  type: "full" | "incremental";
  /** The name of the backup that it continues. */
  parent?: string;
  databases: string[];
  /** The place; `undefined`: the bucket itself. */
  to?: string;
}

/** A restore. */
export interface Restore extends Job {
  restore_id: string;
  /** The name of the backup, or the time of an earlier state of the database. */
  backup_name: string;
  /** `undefined`: all databases. */
  database?: string;
  /** The name of the new database; `undefined`: the present one is replaced. */
  to?: string;
}

/** Backups and restores of the cluster. */
export interface BackupLists {
  backups: Backup[];
  restores: Restore[];
}

/** Lists backups and restores, newest first. */
export async function listBackups(signal?: AbortSignal): Promise<BackupLists> {
  const [{ backups }, { restores }] = await Promise.all([
    getJson<{ backups: Backup[] }>(BACKUPS, { signal }),
    getJson<{ restores: Restore[] }>(RESTORES, { signal }),
  ]);
  return { backups: backups.sort((one, other) => other.created_at.localeCompare(one.created_at)), restores };
}

/** Returns whether a job is in progress, so that the lists change soon. */
export function hasRunningJob(lists: BackupLists | undefined): boolean {
  const jobs: Job[] = [...(lists?.backups ?? []), ...(lists?.restores ?? [])];
  return jobs.some(({ status }) => status === "in_progress");
}

/** Returns the names of the backups that continue a backup, directly or not. */
export function descendants(backups: readonly Backup[], name: string): string[] {
  const direct = backups.filter(({ parent }) => parent === name);
  return direct.flatMap((backup) => [backup.name, ...descendants(backups, backup.name)]);
}

/** A backup that does not exist yet. */
export interface NewBackup {
  name?: string;
  /** Whether it replaces a backup of the same name. */
  force: boolean;
  parent?: string;
  database?: string;
  to?: string;
}

/** Starts a backup. Returns its name. */
export async function createBackup(backup: NewBackup): Promise<string> {
  const type = backup.parent === undefined ? "full" : "incremental";
  const { backup_name } = await getJson<{ backup_name: string }>(BACKUPS, { json: { type, ...backup } });
  return backup_name;
}

/** Ends a backup in progress. */
export async function cancelBackup(name: string): Promise<void> {
  await request(BACKUPS, { method: "DELETE", json: { name } });
}

/** Deletes a backup, and with `incremental` those that continue it. */
export async function deleteBackup(name: string, incremental: boolean): Promise<void> {
  await request(`${BACKUPS}/${encodeURIComponent(name)}`, { method: "DELETE", query: { incremental } });
}

/** The source and the target of a restore: a backup, or an earlier state of a database. */
export interface NewRestore {
  backup_name?: string;
  as_of?: string;
  /** `undefined`: all databases of the backup. */
  database?: string;
  /** `undefined`: the present database is replaced. */
  to?: string;
}

/** Starts a restore. */
export async function createRestore(restore: NewRestore): Promise<void> {
  await request(RESTORES, { method: "POST", json: restore });
}

/** Ends a restore in progress. */
export async function cancelRestore(id: string): Promise<void> {
  await request(`${RESTORES}/${encodeURIComponent(id)}`, { method: "DELETE" });
}
