package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"berth/internal/server"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
)

func imageCommand(environ []string, io stdio) *cobra.Command {
	return group("image", "Restore deleted images", imageDeletedCommand(environ, io), imageRestoreCommand(environ, io))
}

func imageDeletedCommand(environ []string, io stdio) *cobra.Command {
	var in server.DeletedImagesRequest
	var output string
	cmd := extensionCommand(environ, &cobra.Command{
		Use:   "deleted REPOSITORY",
		Short: "List deleted images that can be restored",
		Long: `List the deleted images of a repository that can be restored, the last first.
If the repository was deleted, these are the images that come back with it.`,
		Args: cobra.ExactArgs(1),
	}, func(ask asker, args []string) error {
		in.RepositoryName = args[0]
		all := server.DeletedImagesResponse{Images: []server.DeletedImage{}}
		for {
			var page server.DeletedImagesResponse
			if err := ask(server.DeletedImagesPath, in, &page); err != nil {
				return err
			}
			all.Images = append(all.Images, page.Images...)
			if in.NextToken = page.NextToken; in.NextToken == "" {
				break
			}
		}
		if output == "json" {
			return json.NewEncoder(io.out).Encode(all)
		}
		return printDeletedImages(io.out, all.Images)
	})
	cmd.Flags().StringVar(&in.RepositoryUID, "uid", "", "of several deleted repositories of that name, the one meant")
	addPublic(cmd, &in.Public)
	addOutput(cmd, &output)
	return cmd
}

func printDeletedImages(w io.Writer, images []server.DeletedImage) error {
	if len(images) == 0 {
		_, err := fmt.Fprintln(w, "no deleted image can be restored")
		return err
	}
	t := table(w)
	fmt.Fprintln(t, "DIGEST\tTAGS\tPUSHED\tDELETED\tRESTORABLE UNTIL\tDELETED BY")
	for _, i := range images {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", i.Digest, cmp.Or(strings.Join(i.Tags, ","), "-"), i.PushedAt.Format(time.RFC3339), deletion(i.Deletion))
	}
	return t.Flush()
}

// deletion returns the columns about a deletion.
func deletion(d server.Deletion) string {
	return d.DeletedAt.Format(time.RFC3339) + "\t" + d.RestorableUntil.Format(time.RFC3339) + "\t" + cmp.Or(d.DeletedBy, "-")
}

func imageRestoreCommand(environ []string, io stdio) *cobra.Command {
	var in server.RestoreImageRequest
	var output string
	var tags []string
	var untagged bool
	cmd := extensionCommand(environ, &cobra.Command{
		Use:   "restore REPOSITORY DIGEST",
		Short: "Restore a deleted image",
		Long: `Restore a deleted image with the tags that it had, and with the deleted images
that it lists. A tag that is on another image now stays there.`,
		Args: cobra.ExactArgs(2),
	}, func(ask asker, args []string) error {
		in.RepositoryName, in.Digest = args[0], digest.Digest(args[1])
		if in.Tags = tags; untagged {
			in.Tags = []string{}
		}
		var done server.RestoreImageResponse
		if err := ask(server.RestoreImagePath, in, &done); err != nil {
			return err
		}
		if output == "json" {
			return json.NewEncoder(io.out).Encode(done)
		}
		return printRestoredImages(io.out, done)
	})
	cmd.Flags().StringSliceVar(&tags, "tag", nil, "a tag to give it instead of those that it had")
	cmd.Flags().BoolVar(&untagged, "untagged", false, "give it no tag")
	cmd.MarkFlagsMutuallyExclusive("tag", "untagged")
	addPublic(cmd, &in.Public)
	addOutput(cmd, &output)
	return cmd
}

func printRestoredImages(w io.Writer, done server.RestoreImageResponse) error {
	t := table(w)
	fmt.Fprintln(t, "RESTORED\tTAGS\tTAGS ON OTHER IMAGES")
	for _, i := range done.Images {
		fmt.Fprintf(t, "%s\t%s\t%s\n", i.Digest, cmp.Or(strings.Join(i.Tags, ","), "-"), cmp.Or(strings.Join(i.Taken, ","), "-"))
	}
	return t.Flush()
}
